"""What the steps of a split share: the two databases, their facts, names and limits; decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from migrate.split.connection import Connection, close, connect
from migrate.split.desk import Desk
from migrate.split.model import Endpoint, Limits, SplitError, SplitSpec
from migrate.split.names import Direction, Names, Side, TableName
from migrate.split.servers import ServerFacts, on_one_cluster, read_facts
from migrate.steps import Observer, ignore


@dataclass(slots=True)
class SplitContext:
    """One split in one process. `control` connections are for one statement after the other.

    `neighbours`: where tables of other services are once they have moved out as well.
    """

    spec: SplitSpec
    endpoints: dict[Side, Endpoint]
    names: Names
    facts: dict[Side, ServerFacts]
    limits: Limits = field(default_factory=Limits)
    observer: Observer = ignore
    desk: Desk | None = None
    neighbours: Mapping[TableName, Endpoint] = field(default_factory=dict)
    operation: UUID | None = None
    _control: dict[Side, Connection] = field(default_factory=dict)

    @classmethod
    async def open(
        cls,
        spec: SplitSpec,
        shared: Endpoint,
        own: Endpoint,
        *,
        limits: Limits | None = None,
        observer: Observer = ignore,
        desk: Desk | None = None,
        neighbours: Mapping[TableName, Endpoint] | None = None,
    ) -> SplitContext:
        """Connect to both databases and read what they can do; raises UnreachableError."""
        endpoints = {Side.SHARED: shared, Side.OWN: own}
        control: dict[Side, Connection] = {}
        facts: dict[Side, ServerFacts] = {}
        try:
            for side, endpoint in endpoints.items():
                control[side] = await connect(endpoint, "control")
                facts[side] = await read_facts(control[side])
        except BaseException:
            for connection in control.values():
                await close(connection)
            raise
        if facts[Side.SHARED].identity == facts[Side.OWN].identity:
            for connection in control.values():
                await close(connection)
            raise SplitError(
                f"the own database of {spec.service} is the shared database itself;"
                " give the service a database of its own first"
            )
        names = Names.of(spec.service, facts[Side.SHARED].identity, facts[Side.OWN].identity)
        return cls(
            spec,
            endpoints,
            names,
            facts,
            limits=limits or Limits(),
            observer=observer,
            desk=desk,
            neighbours=neighbours or {},
            _control=control,
        )

    @property
    def is_one_cluster(self) -> bool:
        return on_one_cluster(self.facts[Side.SHARED], self.facts[Side.OWN])

    async def control(self, side: Side) -> Connection:
        """The connection for small statements, opened again if it was lost."""
        connection = self._control.get(side)
        if connection is None or connection.is_closed():
            connection = await connect(self.endpoints[side], "control")
            self._control[side] = connection
        return connection

    async def session(self, side: Side, role: str) -> Connection:
        """A connection of the caller's own, who closes it."""
        return await connect(self.endpoints[side], role)

    @property
    def control_desk(self) -> Desk:
        """The control store; every operation that changes ownership has one."""
        if self.desk is None:
            raise SplitError("this operation needs the control store; set SHARED_DATABASE_URL")
        return self.desk

    async def source(self, direction: Direction) -> Connection:
        """Control connection to the side that rows come from."""
        return await self.control(direction.source)

    async def target(self, direction: Direction) -> Connection:
        return await self.control(direction.target)

    async def close(self) -> None:
        """Close the control connections."""
        for connection in self._control.values():
            await close(connection)
        self._control.clear()
