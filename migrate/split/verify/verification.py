"""Runs an exact comparison of the moved tables and remembers which were equal, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from migrate.split.context import SplitContext
from migrate.split.model import SplitError
from migrate.split.names import Direction, Side
from migrate.split.verify.barrier import paired_snapshots
from migrate.split.verify.compare import Comparison, Verdict
from migrate.steps import Check, Step, needed


class NotEqualError(SplitError):
    """The sides differ; `verdicts` says where."""

    def __init__(self, service: str, verdicts: list[Verdict]) -> None:
        self.verdicts = verdicts
        lines = []
        for verdict in verdicts:
            if verdict.is_equal:
                continue
            counts = ", ".join(f"{side} {rows:,} rows" for side, rows in verdict.rows.items())
            lines.append(f"  {verdict.table} ({counts}):")
            lines += [f"    {difference}" for difference in verdict.differences]
        super().__init__(
            f"the databases of {service} are not equal:\n"
            + "\n".join(lines)
            + f"\nfind out who wrote there, repair the rows, and run `migrate db verify {service}`"
        )


@dataclass(frozen=True, slots=True)
class Verification:
    """What one comparison found and cost. Rows are hashed rows of both sides together."""

    direction: Direction
    verdicts: tuple[Verdict, ...]
    skipped: tuple[str, ...]
    hashed_rows: int
    seconds: float
    writers_waited_ms: float
    stream_waited_ms: float

    @property
    def is_equal(self) -> bool:
        return all(verdict.is_equal for verdict in self.verdicts)

    def as_json(self) -> dict[str, Any]:
        """For `--json` and the journal."""
        return {
            "direction": str(self.direction),
            "is_equal": self.is_equal,
            "tables": {
                str(verdict.table): {
                    "rows": {str(side): rows for side, rows in verdict.rows.items()},
                    "is_equal": verdict.is_equal,
                    "differences": [str(difference) for difference in verdict.differences],
                }
                for verdict in self.verdicts
            },
            "skipped": list(self.skipped),
            "hashed_rows": self.hashed_rows,
            "seconds": round(self.seconds, 3),
            "rows_per_second": round(self.hashed_rows / self.seconds) if self.seconds else 0,
            "writers_waited_ms": round(self.writers_waited_ms, 2),
            "stream_waited_ms": round(self.stream_waited_ms, 2),
        }


async def verify(
    context: SplitContext,
    direction: Direction,
    *,
    jobs: int = 2,
    skip_younger_than_minutes: float | None = None,
) -> Verification:
    """Compare the tables exactly while both sides move; records every table's verdict.

    With `skip_younger_than_minutes` tables that were equal so lately are left out: an interrupted
    verification goes on with the others.
    """
    fresh = await _fresh(context, direction, skip_younger_than_minutes)
    wanted = [table for table in context.spec.tables if str(table.name) not in fresh]
    if not wanted:
        return Verification(direction, (), tuple(sorted(fresh)), 0, 0.0, 0.0, 0.0)
    async with paired_snapshots(context, direction) as pair:
        comparison = Comparison(context, pair, wanted, jobs=jobs)
        verdicts = await comparison.run()
    await _record(context, direction, verdicts)
    return Verification(
        direction,
        tuple(verdicts),
        tuple(sorted(fresh)),
        comparison.totals.rows,
        comparison.totals.seconds,
        pair.writers_waited_ms,
        pair.stream_waited_ms,
    )


async def _fresh(context: SplitContext, direction: Direction, minutes: float | None) -> set[str]:
    if minutes is None:
        return set()
    shared = await context.control(Side.SHARED)
    rows = await shared.fetch(
        f"SELECT relation FROM {context.names.relation('verified')} WHERE direction = $1"
        " AND is_equal AND at > clock_timestamp() - make_interval(secs => $2)",
        direction.value,
        minutes * 60.0,
    )
    return {row["relation"] for row in rows}


async def _record(context: SplitContext, direction: Direction, verdicts: list[Verdict]) -> None:
    shared = await context.control(Side.SHARED)
    await shared.executemany(
        f"INSERT INTO {context.names.relation('verified')}"
        " (relation, direction, at, compared_rows, is_equal)"
        " VALUES ($1, $2, clock_timestamp(), $3, $4) ON CONFLICT (relation) DO UPDATE"
        " SET direction = excluded.direction, at = excluded.at,"
        " compared_rows = excluded.compared_rows, is_equal = excluded.is_equal",
        [
            (str(verdict.table), direction.value, verdict.rows[Side.SHARED], verdict.is_equal)
            for verdict in verdicts
        ],
    )


class Verify(Step[SplitContext]):
    """The own side equals the shared one, row by row."""

    name = "verify"
    title = "compare every row of both sides"
    deadline_seconds = 7 * 86_400.0

    def __init__(self, jobs: int = 2) -> None:
        self._jobs = jobs

    async def check(self, context: SplitContext) -> Check:
        return needed()

    async def apply(self, context: SplitContext) -> Mapping[str, Any]:
        result = await verify(
            context,
            Direction.FORWARD,
            jobs=self._jobs,
            skip_younger_than_minutes=context.limits.verification_minutes,
        )
        if not result.is_equal:
            raise NotEqualError(context.spec.service, list(result.verdicts))
        return result.as_json()
