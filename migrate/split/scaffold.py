"""Creates and removes the schema `_split_<service>` on both sides: token, switch record, functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from migrate.split import fence_hits
from migrate.split.connection import Connection
from migrate.split.context import SplitContext
from migrate.split.names import Names, Side, literal, quote

#: SQLSTATE of the fence; `shared.placement` answers it by running again on the other side.
TABLES_MOVED = "SP001"
#: Kind of the records that say that a part is complete.
MILESTONE = "milestone"


@dataclass(frozen=True, slots=True)
class Switch:
    """One half of a switch as a side has committed it: `ready` on the winner, `fenced` on the loser.

    The fence decides. `open_lsn` (of the winner, told by `ready`) is the position after which every
    change there is its own.
    """

    number: int
    role: str
    direction: str
    open_lsn: int | None


def tables_sql(names: Names) -> str:
    """Token, command, gate, switch record, clean-up records and the canary's table."""
    schema = quote(names.schema)
    return f"""
CREATE SCHEMA IF NOT EXISTS {schema};
COMMENT ON SCHEMA {schema} IS
  {literal(f"online split of {names.service}; removed by `migrate db abort` or `migrate db finalize`")};
CREATE TABLE IF NOT EXISTS {schema}.token (
  id int PRIMARY KEY, n bigint NOT NULL);
CREATE TABLE IF NOT EXISTS {schema}.command (number bigint PRIMARY KEY, opens text NOT NULL);
INSERT INTO {schema}.token (id, n) VALUES (1, 0) ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS {schema}.switch (
  number bigint NOT NULL, role text NOT NULL CHECK (role IN ('ready', 'fenced')),
  direction text NOT NULL, open_lsn pg_lsn, at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (number, role));
CREATE SEQUENCE IF NOT EXISTS {schema}.gate AS bigint MINVALUE {-(2**62)} START WITH 0;
CREATE TABLE IF NOT EXISTS {schema}.object (
  kind text NOT NULL, identity text NOT NULL, definition text NOT NULL DEFAULT '',
  at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (kind, identity));
CREATE TABLE IF NOT EXISTS {schema}.copied (
  slot text NOT NULL, relation text NOT NULL, first_page bigint NOT NULL, copied_rows bigint NOT NULL,
  PRIMARY KEY (slot, relation, first_page));
CREATE TABLE IF NOT EXISTS {schema}.snapshot (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row), slot text NOT NULL, snapshot text,
  consistent_lsn pg_lsn, keeper_pid int, failure text, lease_until timestamptz NOT NULL);
CREATE TABLE IF NOT EXISTS {schema}.verified (
  relation text PRIMARY KEY, direction text NOT NULL, at timestamptz NOT NULL, compared_rows bigint NOT NULL,
  is_equal boolean NOT NULL);
CREATE TABLE IF NOT EXISTS {schema}.canary (
  id bigint PRIMARY KEY, writer text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());
"""


def functions_sql(names: Names, side: Side) -> str:
    """The fence, and what the apply worker runs when the token arrives.

    A side refuses writes while its fence triggers are enabled and its gate is shut (not above 0).
    Shutting is done by enabling the triggers, which is part of a transaction and seen by everybody
    who comes after it, however old their snapshot. Opening is done at the gate, a sequence: it needs
    no lock, and no snapshot hides it. The apply worker opens it when the fence transaction of the
    other side, which holds the command to do so, has come through: the commit of the loser opens the
    winner, whatever has become of the tool by then.
    """
    schema = quote(names.schema)
    return f"""
CREATE OR REPLACE FUNCTION {schema}.fence() RETURNS trigger LANGUAGE plpgsql AS $fence$
DECLARE
  position bigint;
BEGIN
  SELECT last_value INTO position FROM {schema}.gate;
  IF position > 0 THEN
    IF TG_LEVEL = 'STATEMENT' THEN
      RETURN NULL;
    ELSIF TG_OP = 'DELETE' THEN
      RETURN OLD;
    END IF;
    RETURN NEW;
  END IF;
  PERFORM {schema}.note_hit(format('%I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME), TG_OP);
  RAISE EXCEPTION 'table %.% is owned by another database', TG_TABLE_SCHEMA, TG_TABLE_NAME
    USING ERRCODE = '{TABLES_MOVED}', HINT = 'read the placement again and retry there';
END $fence$;
CREATE OR REPLACE FUNCTION {schema}.on_token() RETURNS trigger LANGUAGE plpgsql AS $token$
BEGIN
  PERFORM pg_advisory_xact_lock({names.advisory_key});  -- a verification stops the stream here
  RETURN NEW;
END $token$;
DROP TRIGGER IF EXISTS on_token ON {schema}.token;
CREATE TRIGGER on_token BEFORE UPDATE ON {schema}.token FOR EACH ROW EXECUTE FUNCTION {schema}.on_token();
ALTER TABLE {schema}.token ENABLE REPLICA TRIGGER on_token;
CREATE OR REPLACE FUNCTION {schema}.on_command() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $command$
BEGIN
  IF NEW.opens = {literal(side)} THEN
    PERFORM setval({literal(names.relation("gate"))}::regclass, NEW.number)
      FROM {schema}.gate WHERE NEW.number > abs(last_value);
  END IF;
  RETURN NULL;  -- carried out, not stored: a stored command would travel back to where it came from
END $command$;
DROP TRIGGER IF EXISTS on_command ON {schema}.command;
CREATE TRIGGER on_command BEFORE INSERT ON {schema}.command
  FOR EACH ROW EXECUTE FUNCTION {schema}.on_command();
ALTER TABLE {schema}.command ENABLE REPLICA TRIGGER on_command;
REVOKE ALL ON FUNCTION {schema}.on_command() FROM PUBLIC;
GRANT USAGE ON SCHEMA {schema} TO PUBLIC;
GRANT SELECT ON SEQUENCE {schema}.gate TO PUBLIC;
"""


async def create_scaffold(context: SplitContext, side: Side) -> None:
    """Everything of the split's schema on one side, in one transaction; idempotent."""
    names = context.names
    connection = await context.control(side)
    async with connection.transaction():
        await connection.execute(tables_sql(names))
        await connection.execute(fence_hits.definition(names))
        await connection.execute(functions_sql(names, side))


async def has_scaffold(context: SplitContext, side: Side) -> bool:
    """Whether the split's schema is there with everything in it."""
    connection = await context.control(side)
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
            " WHERE n.nspname = $1 AND p.proname = 'on_command')",
            context.names.schema,
        )
    )


async def drop_scaffold(context: SplitContext, side: Side) -> None:
    """Remove the schema; triggers on moved tables must be gone already."""
    connection = await context.control(side)
    await connection.execute(f"DROP SCHEMA IF EXISTS {quote(context.names.schema)} CASCADE")


async def record_objects(
    connection: Connection, names: Names, objects: Iterable[tuple[str, str, str]]
) -> None:
    """Clean-up records (kind, identity, definition), durable before the objects are created."""
    await connection.executemany(
        f"INSERT INTO {names.relation('object')} (kind, identity, definition) VALUES ($1, $2, $3)"
        " ON CONFLICT DO NOTHING",
        list(objects),
    )


async def recorded_objects(connection: Connection, names: Names) -> list[tuple[str, str, str]]:
    """Clean-up records of this side, the latest first."""
    rows = await connection.fetch(
        f"SELECT kind, identity, definition FROM {names.relation('object')}"
        " ORDER BY at DESC, kind, identity"
    )
    return [(row["kind"], row["identity"], row["definition"]) for row in rows]


async def read_switches(connection: Connection, names: Names) -> list[Switch]:
    """What this side has committed, oldest first; empty without a scaffold."""
    if not await connection.fetchval(
        "SELECT to_regclass($1) IS NOT NULL", names.relation("switch")
    ):
        return []
    rows = await connection.fetch(
        "SELECT number, role, direction, (open_lsn - '0/0')::bigint AS open_lsn"
        f" FROM {names.relation('switch')} ORDER BY number"
    )
    return [Switch(row["number"], row["role"], row["direction"], row["open_lsn"]) for row in rows]


async def reach_milestone(connection: Connection, names: Names, name: str) -> None:
    """Remember that a part of the split is complete on this side."""
    await record_objects(connection, names, [(MILESTONE, name, "")])


async def has_milestone(connection: Connection, names: Names, name: str) -> bool:
    """Whether it was reached; False without a scaffold."""
    relation = names.relation("object")
    if not await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", relation):
        return False
    return bool(
        await connection.fetchval(
            f"SELECT EXISTS (SELECT FROM {relation} WHERE kind = $1 AND identity = $2)",
            MILESTONE,
            name,
        )
    )
