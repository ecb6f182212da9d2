"""A private RabbitMQ with a port mapper of its own, so that it never meets another node of this machine."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from migrate.stack.accounts import give_to
from migrate.stack.env_file import write_env_file, write_private
from migrate.stack.ports import free_port
from migrate.stack.process import ProcessSpec
from migrate.stack.programs import ServerKind
from migrate.stack.servers.server import HOST, ServerSite

USER = "stack"
PROBE_SECONDS = 1.0
# AMQP 0-9-1, section 4.2.2: the protocol header; a broker that is up answers with a method frame (type 1).
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
METHOD_FRAME = b"\x01"

SETTINGS = """\
listeners.tcp.1 = {host}:{port}
default_user = {user}
default_pass = {password}
default_vhost = /
log.console = true
log.console.level = warning
log.file = false
disk_free_limit.absolute = 50MB
"""
# Idle schedulers must not spin: the machine is shared with everything else.
ERLANG_ARGUMENTS = (
    "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
)


class RabbitServer:
    """One node named by address, so that no host name has to resolve, and its epmd beside it."""

    kind: ServerKind = "rabbitmq"

    def __init__(self, site: ServerSite, program: Path, epmd: Path) -> None:
        self._site = site
        self._program = program
        self._epmd = epmd

    @property
    def url(self) -> str:
        return f"amqp://{USER}:{quote(self._site.password)}@{HOST}:{self._site.port}/%2F"

    @property
    def environment(self) -> dict[str, str]:
        """What rabbitmq-server, rabbitmqctl and epmd must see to belong together."""
        home = self._site.home
        return {
            "HOME": str(home),  # the Erlang cookie is kept there
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(self._site.extra_port),
            "RABBITMQ_USE_LONGNAME": "true",
            "RABBITMQ_NODENAME": f"stack@{HOST}",
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(home / "rabbitmq-env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(home / "config"),
            "RABBITMQ_SCHEMA_DIR": str(home / "schema"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG_ARGUMENTS,
            "RABBITMQ_LOGS": "-",
        }

    async def prepare(self) -> None:
        """Write configuration and env file. The distribution port is chosen anew at every start."""
        environment = {**self.environment, "RABBITMQ_DIST_PORT": str(free_port())}
        write_env_file(self._site.env_file, environment)
        settings = SETTINGS.format(
            host=HOST, port=self._site.port, user=USER, password=self._site.password
        )
        for name, text in (
            ("rabbitmq.conf", settings),
            ("advanced.config", "[].\n"),
            ("rabbitmq-env.conf", ""),
            ("enabled_plugins", "[].\n"),
        ):
            write_private(self._site.home / name, text)
            give_to(self._site.home / name, self._site.account)

    def processes(self) -> tuple[ProcessSpec, ...]:
        common = {
            "cwd": str(self._site.home),
            "env_file": str(self._site.env_file),
            "account": self._site.account,
        }
        epmd_log = self._site.log_file.with_name("epmd.log")
        epmd_arguments = (str(self._epmd), "-port", str(self._site.extra_port), "-address", HOST)
        return (
            ProcessSpec(name="epmd", argv=epmd_arguments, log_file=str(epmd_log), **common),
            ProcessSpec(
                name=self.kind,
                argv=(str(self._program),),
                log_file=str(self._site.log_file),
                layer=1,  # stopped before its epmd
                stop_seconds=30.0,
                **common,
            ),
        )

    async def is_ready(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                reader, writer = await asyncio.open_connection(HOST, self._site.port)
                try:
                    writer.write(PROTOCOL_HEADER)
                    return await reader.readexactly(1) == METHOD_FRAME
                finally:
                    writer.close()
                    with suppress(ConnectionError):
                        await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False
