"""`migrate db inspect` on a database that no manifest knows: another team's shop."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

from migrate.cli import app
from migrate.exit_codes import ExitCode, exit_code
from tests.support.split_lab import create_database, remove_database

SHOP = """
CREATE EXTENSION pg_stat_statements; CREATE EXTENSION hstore;
CREATE SCHEMA shop; CREATE SCHEMA billing;
CREATE TYPE shop.state AS ENUM ('new', 'paid');
CREATE SEQUENCE public.numbers;
CREATE TABLE public.customers (id int PRIMARY KEY, email text);
CREATE TABLE shop.orders (id int PRIMARY KEY, state shop.state, number bigint DEFAULT nextval('public.numbers'),
  customer int CONSTRAINT orders_customer REFERENCES public.customers ON DELETE CASCADE, extra hstore, photo oid,
  total int GENERATED ALWAYS AS (1) STORED);
CREATE TABLE shop.lines (order_id int REFERENCES shop.orders, what text);
CREATE TABLE shop.events (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE shop.events_1 PARTITION OF shop.events DEFAULT;
CREATE UNLOGGED TABLE shop.sessions (id int PRIMARY KEY);
CREATE TABLE billing.invoices (id int PRIMARY KEY, number bigint DEFAULT nextval('public.numbers'),
  order_id int CONSTRAINT invoices_order REFERENCES shop.orders ON DELETE RESTRICT);
CREATE TABLE public.notes (id int PRIMARY KEY);
CREATE VIEW billing.open AS SELECT i.id FROM billing.invoices i JOIN shop.orders o ON o.id = i.order_id;
CREATE FUNCTION billing.pay(o int) RETURNS void LANGUAGE sql AS 'UPDATE shop.orders SET state = ''paid'' WHERE id = o';
CREATE FUNCTION shop.stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER stamp BEFORE UPDATE ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.stamp();
ALTER TABLE shop.orders ENABLE ALWAYS TRIGGER stamp;
ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY;
CREATE PUBLICATION elsewhere FOR TABLE shop.orders;
"""
TRAFFIC = (
    "SELECT o.id FROM shop.orders o JOIN public.customers c ON c.id = o.customer WHERE c.email = 'a'",
    "INSERT INTO billing.invoices (id, order_id) SELECT id, id FROM shop.orders WHERE id = 99",
    "SELECT count(*) FROM shop.orders",
)


@pytest.fixture
async def shop(postgres_url: str) -> AsyncIterator[str]:
    name = f"shop_{uuid.uuid4().hex[:8]}"
    url = await create_database(postgres_url, name)
    try:
        connection = await asyncpg.connect(url)
        await connection.execute(SHOP)
        for statement in TRAFFIC:
            await connection.execute(statement)
        await connection.close()
        yield url
    finally:
        await remove_database(postgres_url, name)


def look(*words: str) -> tuple[ExitCode, str, str]:
    result = CliRunner().invoke(app, ["db", "inspect", "--url-from", "OTHER_TEAM", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return exit_code(result.exception), result.stdout, str(result.exception)
    return ExitCode(result.exit_code), result.stdout, result.stderr


@pytest.fixture
def elsewhere(shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a manifest, and nothing but the address in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("SHARED_DATABASE_URL", "STRANGLER_MANIFEST", "MIGRATION_MANIFEST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OTHER_TEAM", shop)


async def test_everything_that_hangs_on_a_part_of_another_teams_database_is_found(
    elsewhere: None, shop: str
) -> None:
    async def two_owners_in_one_transaction() -> None:
        connection = await asyncpg.connect(shop, server_settings={"application_name": "checkout"})
        with suppress(asyncio.CancelledError):
            await connection.execute(
                "BEGIN; INSERT INTO public.customers VALUES (1); INSERT INTO billing.invoices VALUES (1)"
            )
            await asyncio.sleep(60)
        await connection.close()

    checkout = asyncio.create_task(two_owners_in_one_transaction())
    await asyncio.sleep(0)
    words = ("--tables", "shop=shop.*", "--tables", "billing=billing.invoices", "--sample", "0.5")
    code, output, error = await asyncio.to_thread(look, *words, "--json")
    checkout.cancel()
    await checkout
    assert code is ExitCode.REFUSED, error
    found: dict[str, Any] = json.loads(output)
    part = found["services"]["shop"]
    assert set(part["tables"]) == {"shop.orders", "shop.lines", "shop.events", "shop.sessions"}
    keys = {key["name"]: (key["direction"], key["becomes"]) for key in part["crossing_keys"]}
    assert keys == {
        "orders_customer": ("outgoing", "loose"),
        "invoices_order": ("incoming", "check"),
    }
    assert part["views"] == ["billing.open"]
    assert part["functions"] == ["billing.pay(integer)"]
    assert part["triggers"] == ["shop.orders.stamp"]
    assert set(part["types"]) == {"shop.state", "public.hstore"}
    assert part["extensions"] == ["hstore"]
    checks = {entry["check"]: entry["weight"] for entry in part["findings"]}
    assert checks == {
        "replica_identity": "refuse", "table_unlogged": "refuse", "large_object": "refuse",
        "partition_names": "info", "generated_columns": "info", "row_security": "info",
        "trigger_in_replication": "warn", "view": "warn", "function": "warn", "sequence_shared": "warn",
        "publication_elsewhere": "warn", "crossing_key_outgoing": "info", "crossing_key_incoming": "warn",
    }  # fmt: skip
    assert found["unowned"] == ["customers", "notes"]
    crossing = {
        (tuple(entry["owners"]), entry["calls"]) for entry in found["statements"]["crossing"]
    }
    assert crossing == {(("?", "shop"), 1), (("billing", "shop"), 1)}
    assert [(entry["owners"], entry["application"]) for entry in found["transactions"]] == [
        (["?", "billing"], "checkout")
    ]


async def test_the_printed_plan_says_what_must_be_solved_first(elsewhere: None) -> None:
    code, output, _ = await asyncio.to_thread(look, "--tables", "shop.*", "--sample", "0")
    assert code is ExitCode.REFUSED
    plan = output.partition("Before the split")[2]
    assert "1. tables: " in plan
    assert "SET LOGGED" in plan
    assert "take apart the statement that writes billing.invoices" in " ".join(plan.split())


@pytest.mark.parametrize(
    "words",
    [
        ("--tables", "a=shop.orders", "--tables", "b=shop.orders"),
        ("--tables", "shop.orders", "--tables", "shop.lines"),
        ("--tables", "a="),
        (),  # neither parts nor a manifest
    ],
)
async def test_parts_that_mean_nothing_are_refused(elsewhere: None, words: tuple[str, ...]) -> None:
    code, _, error = await asyncio.to_thread(look, *words)
    assert code is ExitCode.FAILED
    assert error
