"""Which processes a stack has, and what each of them is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from migrate.stack.choices import Choices
from migrate.stack.credentials import generate, load_or_generate
from migrate.stack.environment import StackFacts, app_environment, command_environment
from migrate.stack.errors import StackError
from migrate.stack.layout import Layout
from migrate.stack.local import LocalStack
from migrate.stack.servers.choice import given_urls
from migrate.stack.stand_ins.settings import read_settings
from migrate.stack.state import StackState
from migrate.stack.topology import LAYER, AppProcess, find_processes
from migrate.stack.vendors import stand_in_environment, vendor_variables
from shared.contract.routes import public_routes
from shared.manifest import load_manifest


def _program(folder: Path, *, worker: bool = False) -> None:
    folder.mkdir(parents=True)
    (folder / "__main__.py").touch()
    if worker:
        (folder / "worker.py").touch()


@pytest.fixture
def facts(tmp_path: Path) -> StackFacts:
    return StackFacts(
        layout=Layout(tmp_path),
        manifest_path=tmp_path / "migration.toml",
        ports={"router": 8080, "router-admin": 9000, "monolith": 7001, "content": 7002},
        postgres_url="postgresql://postgres:pw@127.0.0.1:5000/postgres",
        redis_url="redis://:pw@127.0.0.1:5001/0",
        rabbitmq_url="amqp://stack:pw@127.0.0.1:5002/%2F",
        project="shop",
        moving=("content",),
        credentials=generate(),
        operator={"RATE_LIMITS": "off", "HOME": "/somewhere"},
        router_workers=2,
    )


def _process(name: str) -> AppProcess:
    tree = {
        "router": AppProcess("router", "router", "router", "router"),
        "monolith": AppProcess("monolith", "monolith", "monolith", "monolith"),
        "content": AppProcess("content", "services.content", "service", "content"),
        "worker": AppProcess("content-worker", "services.content.worker", "worker", "content"),
    }
    return tree[name]


def test_a_service_is_a_process_when_its_program_exists(tmp_path: Path) -> None:
    _program(tmp_path / "monolith", worker=True)
    _program(tmp_path / "services" / "content")
    _program(tmp_path / "services" / "auth", worker=True)
    (tmp_path / "services" / "chat").mkdir()
    found = find_processes(tmp_path, ["content", "chat", "auth"])
    assert [process.name for process in found] == [
        "monolith", "monolith-worker", "content", "auth", "auth-worker", "router",
    ]  # fmt: skip
    assert {p.name: p.module for p in found}["auth-worker"] == "services.auth.worker"


def test_the_router_is_stopped_before_the_apps_and_the_apps_before_the_servers() -> None:
    assert LAYER["router"] > LAYER["monolith"] > LAYER["worker"] > 1


def test_the_monolith_has_one_database_and_a_service_two(facts: StackFacts) -> None:
    monolith = app_environment(_process("monolith"), facts)
    service = app_environment(_process("content"), facts)
    shared = "postgresql://postgres:pw@127.0.0.1:5000/shop"
    assert monolith["DATABASE_URL"] == shared
    assert "SHARED_DATABASE_URL" not in monolith
    assert service["SHARED_DATABASE_URL"] == shared
    assert service["DATABASE_URL"] == "postgresql://postgres:pw@127.0.0.1:5000/shop_content"


def test_a_service_without_a_database_of_its_own_is_not_given_the_operators(
    facts: StackFacts,
) -> None:
    auth = AppProcess("auth", "services.auth", "service", "auth")
    with_port = replace(facts, ports={**facts.ports, "auth": 7003})
    assert app_environment(auth, with_port)["DATABASE_URL"] == ""


def test_both_sides_share_the_secrets_and_the_public_address(facts: StackFacts) -> None:
    monolith = app_environment(_process("monolith"), facts)
    service = app_environment(_process("content"), facts)
    for name in ("JWT_SECRETS", "PUBLIC_BASE_URL", "WEBHOOK_SECRETS_STRIPE", "MEDIA_DIR"):
        assert monolith[name] == service[name]
    assert monolith["PORT"] == "7001"
    assert service["PORT"] == "7002"


def test_a_worker_listens_nowhere(facts: StackFacts) -> None:
    assert "PORT" not in app_environment(_process("worker"), facts)


def test_the_router_knows_every_app_and_has_an_admin_port_per_worker(facts: StackFacts) -> None:
    router = app_environment(_process("router"), facts)
    assert router["MONOLITH_URL"] == "http://127.0.0.1:7001"
    assert router["CONTENT_URL"] == "http://127.0.0.1:7002"
    assert router["PORT"] == "8080"
    assert list(facts.admin_ports) == [9000, 9001]


def test_what_the_operator_chose_wins_over_the_stacks_own_choice(facts: StackFacts) -> None:
    environment = app_environment(_process("monolith"), facts)
    assert environment["RATE_LIMITS"] == "off"
    assert environment["PROVIDERS"] == "reference"
    assert "HOME" not in environment


def test_the_command_finds_the_databases_by_its_own_file(facts: StackFacts) -> None:
    environment = command_environment(facts)
    assert environment["SHARED_DATABASE_URL"].endswith("/shop")
    assert environment["DATABASE_URL_CONTENT"].endswith("/shop_content")


def test_secrets_are_made_once_and_long_enough(tmp_path: Path) -> None:
    first = load_or_generate(tmp_path / "credentials.json")
    assert load_or_generate(tmp_path / "credentials.json") == first
    assert generate() != first
    assert len(first.jwt_secret.encode()) >= 32
    assert (tmp_path / "credentials.json").stat().st_mode & 0o077 == 0


def test_addresses_in_the_environment_win_one_by_one() -> None:
    environment = {"STACK_REDIS_URL": "redis://elsewhere:6379/0", "STACK_POSTGRES_URL": ""}
    assert given_urls(environment) == {"redis": "redis://elsewhere:6379/0"}


def _domains(stack: LocalStack) -> set[str]:
    return {process.domain for process in stack.app_processes}


def test_chosen_services_run_beside_monolith_and_router(tmp_path: Path) -> None:
    manifest = load_manifest(Path("migration.toml"))
    stack = LocalStack(tmp_path, manifest, Path("migration.toml"), operator={})
    everything = _domains(stack)
    stack.choose(["content"])
    assert _domains(stack) == {"monolith", "content", "router"}
    stack.choose(["all"])
    assert _domains(stack) == everything
    assert not list(tmp_path.iterdir())  # remembered by `up` alone


def test_choosing_a_service_that_does_not_exist_names_those_that_do(tmp_path: Path) -> None:
    manifest = load_manifest(Path("migration.toml"))
    stack = LocalStack(tmp_path, manifest, Path("migration.toml"), operator={})
    with pytest.raises(StackError, match="billing: no such service"):
        stack.choose(["content", "billing"])


def test_stand_ins_take_the_vendors_place_for_every_app_but_the_router(
    facts: StackFacts, tmp_path: Path
) -> None:
    stand_ins, *others = find_processes(tmp_path, [], stand_ins=True)
    assert (stand_ins.name, stand_ins.listens) == ("stand-ins", True)
    assert LAYER[stand_ins.kind] < LAYER["worker"]
    assert [vendor_variables(process, facts) for process in (*others, _process("worker"))] == [
        {},
        {},
    ]
    known = replace(facts, ports={**facts.ports, "stand-ins": 7100, "stand-ins-smtp": 7101})
    told = vendor_variables(_process("worker"), known)
    assert told["PROVIDERS"] == "live"
    assert told["STRIPE_API_BASE"] == "http://127.0.0.1:7100/stripe"
    assert told["SMTP_PORT"] == "7101"
    assert vendor_variables(_process("router"), known) == {}
    assert not [name for name in app_environment(_process("router"), known) if "STAND" in name]


def test_stand_ins_deliver_to_the_public_address_with_the_apps_secrets(facts: StackFacts) -> None:
    known = replace(facts, ports={**facts.ports, "stand-ins": 7100, "stand-ins-smtp": 7101})
    settings = read_settings(stand_in_environment(known))
    paths = {name: endpoint.url for name, endpoint in settings.endpoints.items()}
    routes = {
        route.name: route.path for route in public_routes().values() if route.auth == "signature"
    }
    assert paths == {
        "stripe": f"http://127.0.0.1:8080{routes['payments.webhook_stripe']}",
        "revenuecat": f"http://127.0.0.1:8080{routes['payments.webhook_revenuecat']}",
        "supabase": f"http://127.0.0.1:8080{routes['auth.webhook_supabase']}",
        "clerk": f"http://127.0.0.1:8080{routes['auth.webhook_clerk']}",
    }
    assert settings.endpoints["revenuecat"].secret == facts.credentials.webhook_revenuecat
    assert settings.endpoints["supabase"].secret in facts.credentials.webhook_supabase


def test_a_stack_remembers_whether_it_has_stand_ins(tmp_path: Path) -> None:
    manifest = load_manifest(Path("migration.toml"))
    stack = LocalStack(tmp_path, manifest, Path("migration.toml"), operator={})
    assert "stand-ins" not in _domains(stack)
    stack.replace_vendors(stand_ins=True)
    assert "stand-ins" in _domains(stack)
    chosen = Choices(only=("chat",)).over(Choices(stand_ins=True).over(StackState()))
    assert (chosen.stand_ins, chosen.only) == (True, ("chat",))
