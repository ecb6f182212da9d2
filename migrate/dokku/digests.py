"""Keeps hashes of what Dokku cannot report in the control store, through psql on the host itself.

The control store lives in the shared store, which the operator's machine often cannot reach by TCP;
`postgres:connect` can. The table is made when the first hash is kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol

from migrate.dokku.argv import command
from migrate.dokku.database import literal
from migrate.dokku.transport import Transport, must

#: Start of the lines that carry a hash.
MARK = "strangler-digest:"

_LOAD = """\\set QUIET 1
\\pset tuples_only on
\\pset format unaligned
SELECT to_regclass('strangler.provisioned') IS NOT NULL AS there \\gset
\\if :there
SELECT concat('strangler-digest:', jsonb_build_array(key, digest))
  FROM strangler.provisioned ORDER BY key;
\\endif
"""
_CREATE = """CREATE SCHEMA IF NOT EXISTS strangler;
CREATE TABLE IF NOT EXISTS strangler.provisioned (
  key text PRIMARY KEY,
  digest text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""


class Digests(Protocol):
    """Hashes by key."""

    async def load(self) -> Mapping[str, str]:
        """All hashes; empty when there are none yet."""
        ...

    async def keep(self, digests: Mapping[str, str]) -> None:
        """Add or replace hashes."""
        ...


class NoDigests:
    """For a manifest without a shared store: nothing is kept, nothing is compared."""

    async def load(self) -> Mapping[str, str]:
        return {}

    async def keep(self, digests: Mapping[str, str]) -> None:
        return None


class HostDigests:
    """In the table `strangler.provisioned` of the shared store."""

    def __init__(self, transport: Transport, store: str) -> None:
        self._transport = transport
        self._store = store

    async def load(self) -> Mapping[str, str]:
        if not await self._is_running():
            return {}
        answer = await self._psql(_LOAD)
        rows = (line.partition(MARK)[2] for line in answer.splitlines() if MARK in line)
        return {str(key): str(digest) for key, digest in (json.loads(row) for row in rows)}

    async def keep(self, digests: Mapping[str, str]) -> None:
        if not digests or not await self._is_running():
            return
        values = ", ".join(f"({literal(key)}, {literal(text)})" for key, text in digests.items())
        insert = (
            f"INSERT INTO strangler.provisioned (key, digest) VALUES {values}"  # noqa: S608
            " ON CONFLICT (key) DO UPDATE SET digest = excluded.digest, at = clock_timestamp();\n"
        )
        await self._psql(f"BEGIN;\n{_CREATE}{insert}COMMIT;\n")

    async def _is_running(self) -> bool:
        if (await self._transport.run(command("postgres:exists", self._store))).exit != 0:
            return False
        status = await must(self._transport, command("postgres:info", self._store, "--status"))
        return status.text.strip() == "running"

    async def _psql(self, sql: str) -> str:
        answer = await must(
            self._transport,
            command("postgres:connect", self._store, stdin=sql.encode(), stdin_from="(hashes)"),
        )
        return answer.text
