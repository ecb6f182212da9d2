"""Steps of phases one by one: the public host moves without a gap, backups, proofs, ramps, criteria."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from migrate.dokku.phases.backup import BackupError, back_up
from migrate.dokku.phases.commands import CommandRefusedError
from migrate.dokku.phases.criteria import judge
from migrate.dokku.phases.domain import DomainMoveError, find_move, move_domain
from migrate.dokku.phases.proof import (
    Counters,
    CountersUnreachableError,
    ask_router,
    state_problems,
    traffic_problems,
    watch_quiet,
)
from migrate.dokku.phases.runner import (
    PhaseError,
    StepStoppedError,
    complete,
    find_phase,
    outlook,
    refuse_unproven_end,
    roll_back,
    run_steps,
    start,
)
from migrate.dokku.phases.steps import KINDS
from migrate.dokku.phases.world import World
from migrate.dokku.session import Session, open_session
from migrate.dokku.transport import Answer
from shared.manifest import Manifest
from shared.manifest_phases import AppRuns, Phase, Ramp, TrafficAt
from tests.dokku_host.direct import DirectTransport
from tests.dokku_host.host import FakeHost
from tests.dokku_host.operator_side import ENVIRONMENT, applier_for, deploy_directly
from tests.dokku_host.public import answering

PUBLIC = "api.scenextras.com"
APPS = ("api-monolith", "router")


class ScriptedCommands:
    """The toolkit's own command as a small table of states: what a control store would answer."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.percent = 0.0
        self.data = "shared"
        self.status = "pending"
        self.fails: set[str] = set()

    async def run(self, words: Any, *, timeout_seconds: float) -> Answer:
        line = " ".join(words)
        if line == "status --json":
            return self._answer(
                {
                    "services": [
                        {
                            "service": "content",
                            "percent_min": self.percent,
                            "percent_max": self.percent,
                            "data": self.data,
                        }
                    ],
                    "phases": [{"number": 1, "status": self.status}],
                }
            )
        self.ran.append(line)
        if any(line.startswith(start) for start in self.fails):
            return Answer(3, b"", b"error: refused by an invariant\n")
        if words[:2] == ["flag", "set"] and "--percent" in words:
            self.percent = float(words[words.index("--percent") + 1])
        moves = {"db split": "following", "cutover": "own", "rollback": "following"}
        for prefix, data in moves.items():
            if line.startswith(prefix):
                self.data = data
        if words[:2] == ["phase", "mark"]:
            self.status = words[3]
        return Answer(0, b"done\n", b"")

    @staticmethod
    def _answer(data: object) -> Answer:
        return Answer(0, json.dumps(data).encode(), b"")


@pytest.fixture
async def world(
    host: FakeHost, manifest: Manifest, checkout: Path, tmp_path: Path
) -> AsyncIterator[World]:
    async with open_session(manifest, "local", environment=ENVIRONMENT, folder=checkout) as opened:
        transport = DirectTransport(host)
        applier = await applier_for(host, manifest)
        deployer = replace(opened.deployer, transport=transport, applier=applier, pause=0.01)
        session: Session = replace(opened, transport=transport, applier=applier, deployer=deployer)

        async def no_wait(_seconds: float) -> None:
            return None

        yield World(session, ScriptedCommands(), backups=tmp_path / "backups", sleep=no_wait)


async def adopted(host: FakeHost, world: World) -> None:
    """A host where the monolith owns the name and the certificate, and a router that runs beside it."""
    for line in (
        ["apps:create", "api-monolith"],
        ["domains:set", "api-monolith", PUBLIC],
        ["builder:set", "api-monolith", "selected", "dockerfile"],
        ["builder-dockerfile:set", "api-monolith", "dockerfile-path", "dokku/Dockerfile"],
        ["git:set", "api-monolith", "deploy-branch", "main"],
        ["letsencrypt:set", "--global", "email", "ops@scenextras.com"],
    ):
        assert host.execute(line).exit == 0, line
    deploy_directly(host, "api-monolith")
    assert host.execute(["letsencrypt:enable", "api-monolith"]).exit == 0
    await world.session.applier.apply(APPS)
    deploy_directly(host, "router")
    host.log.clear()


def watch_answers(host: FakeHost) -> list[tuple[str, list[str], bool]]:
    """After every changing command: who answers the public name, and whether with a certificate."""
    seen: list[tuple[str, list[str], bool]] = []
    original = host.execute

    def execute(words: Any, stdin: bytes = b"") -> Any:
        result = original(words, stdin)
        apps = answering(host, PUBLIC)
        first = sorted(apps)[0] if apps else ""
        secure = bool(first) and host.state.apps[first].certificate is not None
        seen.append((words[0], apps, secure))
        return result

    host.execute = execute  # type: ignore[method-assign]
    return seen


async def test_the_public_host_moves_without_a_gap_and_with_its_certificate(
    host: FakeHost, world: World
) -> None:
    await adopted(host, world)
    crt = host.state.apps["api-monolith"].certificate
    seen = watch_answers(host)
    step = world.session.manifest.phases[0].steps[3]
    assert step.do == "take_domain"
    assert not await KINDS["take_domain"].is_done(world, step)
    await KINDS["take_domain"].run(world, step)
    assert all(apps and secure for _, apps, secure in seen), (
        "nobody answered, or without a certificate"
    )
    changes = [line[0] for line in host.log if not line[0].startswith("postgres:connect")]
    assert changes[:3] == ["certs:add", "domains:add", "domains:remove"]
    assert "letsencrypt:enable" in changes
    assert "proxy:disable" in changes
    assert answering(host, PUBLIC) == ["router"]
    assert crt is not None
    assert await KINDS["take_domain"].is_done(world, step)
    assert (await world.session.applier.plan(APPS)).changes == ()
    key = crt[1]
    assert key not in " ".join(" ".join(line) for line in host.log)


async def test_the_name_stays_where_it_is_when_the_router_does_not_run(
    host: FakeHost, world: World
) -> None:
    await adopted(host, world)
    host.state.apps["router"].running = False
    with pytest.raises(DomainMoveError, match="router does not run"):
        await move_domain(world, await find_move(world, "api-monolith", "router"))
    assert answering(host, PUBLIC) == ["api-monolith"]
    assert host.log == []


async def test_a_name_that_dokku_loses_goes_back(host: FakeHost, world: World) -> None:
    await adopted(host, world)
    original = host.execute

    def lossy(words: Any, stdin: bytes = b"") -> Any:
        result = original(words, stdin)
        if words[0] == "domains:remove":
            host.state.apps["router"].domains.clear()
        return result

    host.execute = lossy  # type: ignore[method-assign]
    with pytest.raises(DomainMoveError, match="Dokku accepted the names"):
        await move_domain(world, await find_move(world, "api-monolith", "router"))
    assert answering(host, PUBLIC) == ["api-monolith"]


async def test_names_switched_off_are_not_moved_into_the_void(host: FakeHost, world: World) -> None:
    await adopted(host, world)
    host.state.apps["router"].domains_enabled = False
    with pytest.raises(DomainMoveError, match="switched off"):
        await move_domain(world, await find_move(world, "api-monolith", "router"))


def phase_of(*steps: dict[str, Any], rollback: tuple[dict[str, Any], ...] = ()) -> Phase:
    return Phase.model_validate(
        {
            "number": 1, "name": "content", "summary": "", "steps": list(steps),
            "criteria": [{"check": "traffic", "service": "content"}], "rollback": list(rollback),
        }
    )  # fmt: skip


TRAFFIC = (
    {"do": "shadow", "service": "content", "percent": 10, "minutes": 10},
    {"do": "ramp", "service": "content", "percents": [5, 50, 100], "soak_seconds": 60},
    {"do": "split", "service": "content"},
    {"do": "cutover", "service": "content"},
)


async def test_traffic_and_data_move_in_order_and_once(world: World) -> None:
    commands = world.commands
    assert isinstance(commands, ScriptedCommands)
    phase = phase_of(*TRAFFIC)
    await start(world, phase)
    done = [line.split(" --reason")[0] for line in commands.ran]
    assert done[0] == "phase mark 1 started"
    assert done[1].startswith("flag set content.search content.autocomplete")
    assert done[1].endswith("--shadow 10")
    assert done[2:] == [
        "flag set content --percent 5",
        "flag set content --percent 50",
        "flag set content --percent 100",
        "db split content --yes",
        "cutover content --yes",
    ]
    commands.ran.clear()
    reports = await start(world, phase)
    assert {row.outcome for row in reports} == {"already"}
    assert commands.ran == []
    assert all(row.holds for row in await complete(world, phase))
    assert commands.status == "completed"


async def test_a_ramp_goes_on_where_it_stopped(world: World) -> None:
    commands = world.commands
    assert isinstance(commands, ScriptedCommands)
    commands.percent = 50.0
    await run_steps(world, phase_of(TRAFFIC[1]), [Ramp.model_validate(TRAFFIC[1])])
    assert [line.split(" --reason")[0] for line in commands.ran] == [
        "flag set content --percent 100"
    ]


async def test_a_judged_ramp_is_used_where_there_is_one(world: World) -> None:
    commands = world.commands
    assert isinstance(commands, ScriptedCommands)
    world.has_judged_ramp = True
    await run_steps(world, phase_of(TRAFFIC[1]), [Ramp.model_validate(TRAFFIC[1])])
    (line,) = commands.ran
    assert line == "ramp content --steps 5,50,100 --soak 60 --reason phase-1-content --yes"


async def test_a_step_that_fails_says_how_to_go_on_and_back(world: World) -> None:
    commands = world.commands
    assert isinstance(commands, ScriptedCommands)
    commands.fails.add("db split")
    with pytest.raises(StepStoppedError) as caught:
        await start(world, phase_of(*TRAFFIC))
    assert (caught.value.step, isinstance(caught.value.cause, CommandRefusedError)) == (3, True)
    assert "refused by an invariant" in caught.value.message
    assert "migrate phase start 1 --rollback" in caught.value.message
    commands.fails.clear()
    commands.ran.clear()
    await start(world, phase_of(*TRAFFIC))
    assert commands.ran[0].startswith("db split")


async def test_nothing_interrupts_without_a_yes(world: World) -> None:
    asked: list[str] = []

    async def no(question: str) -> bool:
        asked.append(question)
        return False

    world.confirm = no
    with pytest.raises(StepStoppedError, match="declined"):
        await start(world, phase_of(*TRAFFIC))
    assert asked == ["writes of content wait for a moment while its tables change their owner"]
    assert isinstance(world.commands, ScriptedCommands)
    assert world.commands.data == "following"


async def test_rollback_takes_data_and_traffic_back(world: World) -> None:
    commands = world.commands
    assert isinstance(commands, ScriptedCommands)
    commands.percent, commands.data, commands.status = 100.0, "own", "completed"
    rollback = (
        {"do": "rollback", "service": "content"},
        {"do": "flag", "service": "content", "percent": 0},
    )
    await roll_back(world, phase_of(*TRAFFIC, rollback=rollback))
    assert [line.split(" --reason")[0] for line in commands.ran] == [
        "phase mark 1 started",
        "rollback content --yes",
        "flag set content --percent 0",
        "phase mark 1 pending",
    ]
    assert (commands.percent, commands.data) == (0.0, "following")


async def test_a_phase_without_a_way_back_says_so(world: World) -> None:
    with pytest.raises(PhaseError, match="no rollback"):
        await roll_back(world, phase_of(*TRAFFIC))


STOP = {"do": "stop", "apps": ["api-monolith"]}
PROOF = {"do": "prove_strangled", "quiet_minutes": 0}
DUMP = {"do": "backup", "stores": ["scenextras-db"]}


@pytest.mark.parametrize(
    ("steps", "missing"),
    [
        ((STOP,), "prove_strangled and backup"),
        ((PROOF, STOP), "backup"),
        ((DUMP, STOP), "prove_strangled"),
        ((STOP, PROOF, DUMP), "prove_strangled and backup"),
    ],
)
async def test_the_old_api_is_not_stopped_without_a_proof_and_a_dump(
    world: World, steps: tuple[dict[str, Any], ...], missing: str
) -> None:
    with pytest.raises(PhaseError, match=f"without the step {missing} before"):
        await start(world, phase_of(*steps))
    assert isinstance(world.commands, ScriptedCommands)
    assert world.commands.ran == []
    refuse_unproven_end("api-monolith", phase_of(PROOF, DUMP, STOP))
    refuse_unproven_end("api-monolith", phase_of({"do": "stop", "apps": ["router"]}))


async def test_a_proof_that_fails_stops_nothing(host: FakeHost, world: World) -> None:
    await adopted(host, world)
    assert isinstance(world.commands, ScriptedCommands)
    world.commands.fails.add("phase proof")
    with pytest.raises(StepStoppedError, match="the monolith is still needed; nothing was stopped"):
        await start(world, phase_of(PROOF, DUMP, STOP))
    assert host.state.apps["api-monolith"].running
    world.commands.fails.clear()
    await start(world, phase_of(PROOF, DUMP, STOP))
    assert host.state.apps["api-monolith"].stopped
    assert list(world.backups.glob("scenextras-db-*.dump"))
    again = await outlook(world, phase_of(STOP), phase_of(STOP).steps)
    assert [row.outcome for row in again] == ["already"]


async def test_the_outlook_changes_nothing(world: World) -> None:
    commands = world.commands
    assert isinstance(commands, ScriptedCommands)
    rows = await outlook(world, phase_of(*TRAFFIC), phase_of(*TRAFFIC).steps)
    assert [row.outcome for row in rows] == ["would"] * 4
    assert commands.ran == []


async def test_criteria_that_do_not_hold_keep_the_phase_open(world: World) -> None:
    commands = world.commands
    assert isinstance(commands, ScriptedCommands)
    commands.status, commands.percent = "started", 99.0
    (verdict,) = await complete(world, phase_of(*TRAFFIC))
    assert (verdict.holds, verdict.seen) == (False, "99 %")
    assert commands.status == "started"
    commands.status = "pending"
    with pytest.raises(PhaseError, match="was not started"):
        await complete(world, phase_of(*TRAFFIC))


async def test_a_check_that_fails_is_a_criterion_that_does_not_hold(world: World) -> None:
    verdict = await judge(world, AppRuns(check="app_runs", app="router"))
    assert not verdict.holds
    assert "does not exist" in verdict.seen
    assert not (await judge(world, TrafficAt(check="traffic", service="nobody"))).holds


def test_a_phase_that_is_not_there_is_named(manifest: Manifest) -> None:
    assert find_phase(manifest.phases, "6").name == find_phase(manifest.phases, "community").name
    with pytest.raises(PhaseError, match="1 content"):
        find_phase(manifest.phases, "9")


async def test_a_backup_is_read_back_and_only_the_operator_s(host: FakeHost, world: World) -> None:
    host.execute(["postgres:create", "scenextras-db", "--image-version", "17.6"])
    store = host.state.stores["postgres", "scenextras-db"]
    host.databases.sql(
        store.database, b"CREATE TABLE users (id int); INSERT INTO users VALUES (1);"
    )
    said: list[str] = []
    world.say = said.append
    file = await back_up(world, "scenextras-db")
    assert file.read_bytes().startswith(b"PGDMP")
    assert file.stat().st_mode & 0o077 == 0
    assert "entries read back" in said[0]
    with pytest.raises(BackupError, match="redis"):
        await back_up(world, "scenextras-cache")


# ---- the proof of strangulation -----------------------------------------------------------------------


def test_a_route_left_at_the_monolith_is_no_proof(manifest: Manifest) -> None:
    rows = [
        {"service": name, "percent_min": 100.0, "data": "own" if s.placement == "own" else "shared"}
        for name, s in manifest.services.items()
    ]
    assert state_problems(manifest, rows) == ()
    rows[0]["percent_min"] = 99.5
    rows[1]["data"] = "shared"
    found = state_problems(manifest, rows)
    assert "content has routes at 99.5 percent" in found[0]
    assert "tables of media are still shared" in found[1]


def counted(count: int, worker: str = "router.1") -> Counters:
    return Counters({(worker, "chat.talk"): count, (worker, ""): 0}, frozenset({worker}))


def test_one_request_to_the_monolith_is_no_proof() -> None:
    assert traffic_problems(counted(5), counted(5)) == ()
    assert traffic_problems(counted(5), counted(7)) == (
        "2 request(s) of chat.talk went to the monolith",
    )


def test_a_worker_that_went_away_is_no_proof() -> None:
    assert "went away" in traffic_problems(counted(5), counted(5, "router.2"))[0]


async def test_the_quiet_time_ends_at_the_first_request() -> None:
    readings = iter([counted(5), counted(5), counted(6)])
    waited: list[float] = []

    async def read() -> Counters:
        return next(readings)

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    assert await watch_quiet(read, 3600, sleep) != ()
    assert waited == [15.0, 15.0]


@contextmanager
def admin_port(answer: dict[str, Any]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            good = (
                self.headers["Authorization"] == "Bearer t" and self.path == "/stats?scope=router"
            )
            body = json.dumps(answer).encode()
            self.send_response(200 if good else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(timeout=10)


async def test_counters_come_from_all_workers_of_the_router() -> None:
    rows = [{"route": "chat.talk", "side": "monolith", "requests": 3, "by_status": {"2xx": 3}},
            {"route": "chat.talk", "side": "service", "requests": 9, "by_status": {}}]  # fmt: skip
    answer = {"workers": [{"instance": "router.1", "routes": rows}]}
    with admin_port(answer) as url:
        found = await ask_router(url, "t")
        assert found == Counters({("router.1", "chat.talk"): 3}, frozenset({"router.1"}))
        with pytest.raises(CountersUnreachableError, match="ADMIN_TOKEN"):
            await ask_router(url, "wrong")
