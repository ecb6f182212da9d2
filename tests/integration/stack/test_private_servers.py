"""Private servers: they serve by password on loopback only, survive kill -9, keep data, and leave nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from migrate.stack.errors import StackError
from migrate.stack.process_tree import identify
from migrate.stack.servers import PrivateServers


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[PrivateServers]:
    made = PrivateServers(tmp_path, ("postgres", "redis"), durable=False, owner_pid=os.getpid())
    await made.start_all()
    yield made
    await made.close()
    made.wipe()


async def _value(url: str, query: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        return str(await connection.fetchval(query))
    finally:
        await connection.close()


def _postgres(servers: PrivateServers) -> str:
    url = servers.urls.postgres
    assert url is not None
    return url


async def test_postgresql_is_ready_for_a_split_and_asks_for_its_password(
    servers: PrivateServers,
) -> None:
    url = _postgres(servers)
    assert await _value(url, "SHOW wal_level") == "logical"
    assert int(await _value(url, "SHOW max_replication_slots")) >= 14
    assert await _value(url, "SHOW listen_addresses") == "127.0.0.1"
    wrong = url.replace(str(urlsplit(url).password), "wrong")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(wrong)


async def test_redis_asks_for_its_password_and_takes_it(servers: PrivateServers) -> None:
    url = servers.urls.redis
    assert url is not None
    async with Redis.from_url(url) as redis:
        assert await redis.ping()
    async with Redis(port=urlsplit(url).port or 0, protocol=2, retry=None) as stranger:
        with pytest.raises(AuthenticationError):
            await stranger.ping()


async def test_killed_postgresql_comes_back_at_the_same_address_with_its_data(
    servers: PrivateServers,
) -> None:
    url = _postgres(servers)
    await _value(url, "CREATE TABLE kept AS SELECT 42 AS n")
    await servers.kill("postgres")
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncpg.connect(url)
    crashed = {state.name: state for state in await servers.supervisor.processes()}["postgres"]
    assert (crashed.status, crashed.exit_code) == ("crashed", -9)
    await servers.start("postgres")
    assert _postgres(servers) == url
    assert await _value(url, "SELECT n FROM kept") == "42"


async def test_a_frozen_server_accepts_and_does_not_answer_until_it_is_thawed(
    servers: PrivateServers,
) -> None:
    url = _postgres(servers)
    await servers.freeze("postgres")
    with pytest.raises(TimeoutError):
        await asyncpg.connect(url, timeout=0.3)
    await servers.thaw("postgres")
    assert await _value(url, "SELECT 1") == "1"


async def test_a_second_object_continues_where_the_first_stopped(servers: PrivateServers) -> None:
    other = PrivateServers(servers.directory, ("postgres",), durable=False)
    await other.start_all()
    assert other.urls.postgres == servers.urls.postgres


async def test_data_of_running_servers_cannot_be_deleted(servers: PrivateServers) -> None:
    with pytest.raises(StackError, match="still run"):
        servers.wipe()


async def test_rabbitmq_serves_by_its_password_and_takes_its_port_mapper_along(
    tmp_path: Path,
) -> None:
    servers = PrivateServers(tmp_path, ("rabbitmq",), durable=False, owner_pid=os.getpid())
    try:
        await servers.start_all()
        states = await servers.supervisor.processes()
        assert [state.name for state in states] == ["epmd", "rabbitmq"]
        diagnostics = await asyncio.create_subprocess_exec(
            "/usr/lib/rabbitmq/bin/rabbitmq-diagnostics",
            "-q",
            "listeners",
            env=servers.rabbitmq_environment(),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await asyncio.wait_for(diagnostics.communicate(), 60)
        listeners = [line for line in output.decode().splitlines() if "protocol: amqp" in line]
        assert len(listeners) == 1
        assert "127.0.0.1" in listeners[0]
    finally:
        await servers.close()
    assert [identify(state.pid) for state in states] == [None, None]
    servers.wipe()
