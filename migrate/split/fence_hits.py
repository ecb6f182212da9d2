"""Remembers who ran into the fence, although the transaction that did is rolled back.

A refused statement takes every row and notification of its transaction with it. What survives a
rollback inside PostgreSQL, without extensions and for every role, are values of sequences: the
fence writes who hit it (application, user, table, operation, beginning of the query) into the
sequences of one of a few buckets, eight bytes in each. The first of a second goes to the server's log.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from migrate.split.connection import Connection
from migrate.split.names import Names, literal, quote

#: Distinct hitters that are told apart; two that fall together show the later one.
BUCKETS = 8
#: Sequences of a bucket that hold text, eight bytes each: 160 bytes.
WORDS = 20
#: The description of a hitter is written again after this long, in microseconds: at a switch everybody
#: who waited is refused at once, and must not keep the processors busy now of all times.
AGAIN_US = 1_000_000
#: Separates the fields of the text; cannot be typed by accident in a name.
FIELD = "\x1f"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class FenceHit:
    """Who was refused: `hits` counts them, the rest describes the last one."""

    application: str
    user: str
    table: str
    operation: str
    query: str
    pid: int
    hits: int
    seen_at: datetime


def hit_sequences() -> list[str]:
    """Names of every sequence, without schema."""
    names = ["hits_total"]
    for bucket in range(BUCKETS):
        names += [f"hit_{bucket}_{field}" for field in ("count", "at", "pid")]
        names += [f"hit_{bucket}_w{word}" for word in range(WORDS)]
    return names


def definition(names: Names) -> str:
    """SQL that creates the sequences and the function `note_hit(table, operation)`.

    Logged sequences: unlogged ones would each be flushed to disk when they are made.
    """
    sequences = "\n".join(
        f"CREATE SEQUENCE IF NOT EXISTS {names.relation(name)} AS bigint"
        f" MINVALUE {-(2**63)} MAXVALUE {2**63 - 1} START WITH 0;"
        for name in hit_sequences()
    )
    schema = quote(names.schema)
    return f"""{sequences}
CREATE OR REPLACE FUNCTION {schema}.note_hit(p_table text, p_operation text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $note$
DECLARE
  application text := current_setting('application_name');
  now_us bigint := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
  hex text;
  bucket int := (hashtextextended(concat(application, p_table, p_operation), 0) & 2147483647) % {BUCKETS};
  prefix text := {literal(schema + ".hit_")} || bucket || '_';
BEGIN
  PERFORM nextval({literal(schema + ".hits_total")}::regclass), nextval((prefix || 'count')::regclass);
  IF now_us - coalesce(pg_sequence_last_value((prefix || 'at')::regclass), 0) > {AGAIN_US}
     AND pg_try_advisory_xact_lock({names.advisory_key} + 1 + bucket) THEN
    PERFORM setval((prefix || 'at')::regclass, now_us);
    RAISE LOG 'split fence refused % on % by application % user %', p_operation, p_table, application, session_user;
    hex := rpad(left(encode(convert_to(concat_ws(E'\\x1f', application, session_user, p_table, p_operation,
      regexp_replace(current_query(), '\\s+', ' ', 'g')), 'UTF8'), 'hex'), {WORDS * 16}), {WORDS * 16}, '0');
    PERFORM setval((prefix || 'pid')::regclass, pg_backend_pid());
    FOR word IN 0..{WORDS - 1} LOOP
      PERFORM setval((prefix || 'w' || word)::regclass, ('x' || substr(hex, word * 16 + 1, 16))::bit(64)::bigint);
    END LOOP;
  END IF;
END $note$;
"""


async def read_hits(connection: Connection, names: Names) -> list[FenceHit]:
    """Everybody who was refused on this side, the latest first."""
    rows = await connection.fetch(
        "SELECT sequencename, last_value FROM pg_sequences"
        " WHERE schemaname = $1 AND last_value IS NOT NULL",
        names.schema,
    )
    values = {row["sequencename"]: row["last_value"] for row in rows}
    hits = [
        decode_hit(bucket, values)
        for bucket in range(BUCKETS)
        if f"hit_{bucket}_count" in values and f"hit_{bucket}_w0" in values
    ]
    return sorted(hits, key=lambda hit: hit.seen_at, reverse=True)


def decode_hit(bucket: int, values: dict[str, int]) -> FenceHit:
    """One bucket; `values` by sequence name."""
    words = (values.get(f"hit_{bucket}_w{word}", 0) for word in range(WORDS))
    raw = b"".join((word & (2**64 - 1)).to_bytes(8, "big") for word in words)
    text = raw.rstrip(b"\0").decode("utf-8", "ignore")
    application, user, table, operation, query = [*text.split(FIELD, 4), *[""] * 5][:5]
    return FenceHit(
        application,
        user,
        table,
        operation,
        query,
        pid=values.get(f"hit_{bucket}_pid", 0),
        hits=values[f"hit_{bucket}_count"] + 1,  # the first nextval gives the start value 0
        seen_at=_EPOCH + timedelta(microseconds=values.get(f"hit_{bucket}_at", 0)),
    )
