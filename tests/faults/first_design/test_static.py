"""Faults of the first design that can be seen in the text of a program, looked for in all of ours."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from anthropic.resources.messages.messages import DEPRECATED_MODELS

from shared.manifest import load_manifest

ROOT = Path(__file__).parents[3]
PACKAGES = ("shared", "services", "monolith", "router", "migrate")
#: Classes of vendors' packages that block the thread that calls them.
BLOCKING = {
    "anthropic": {"Anthropic"},
    "openai": {"OpenAI"},
    "redis": {"Redis", "StrictRedis", "from_url"},
    "httpx": {"Client", "get", "post", "request"},
    "requests": {"get", "post", "request", "Session"},
}
#: In the text of a program that is run by hand or by the clock, blocking is no fault.
COMMANDS = ("migrate/",)
MANIFEST = load_manifest(ROOT / "migration.toml")


def _programs(*packages: str) -> Iterator[tuple[str, ast.Module]]:
    for package in packages or PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text("utf-8"))


def test_a13_c1_every_name_is_known_and_every_import_used() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--select", "F", "--no-cache", *PACKAGES],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("service", MANIFEST.services)
def test_c7_c12_l15_importing_a_service_connects_nowhere(service: str) -> None:
    """From the top of the repository, without one variable, with every way out closed."""
    program = (
        "import socket, threading\n"
        "def refuse(*_): raise AssertionError('an import opens a connection')\n"
        "socket.socket.connect = socket.socket.connect_ex = refuse\n"
        f"import services.{service}.app, services.{service}.worker, services.{service}.consumers\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr


def test_c11_every_owner_of_personal_rows_hears_of_deleted_users() -> None:
    """No foreign key reaches into another database, so none can cascade there."""
    owners = [name for name in MANIFEST.services if name != "auth"]
    deaf = [name for name in owners if "user.deleted" not in MANIFEST.services[name].subscribes]
    assert deaf == []


def test_e9_l21_no_naive_clock_and_no_ignored_start_up_handler() -> None:
    forbidden = {"utcnow", "utcfromtimestamp", "on_event"}
    found = [
        f"{path}:{node.lineno} {node.attr}"
        for path, tree in _programs()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in forbidden
    ]
    assert found == []


def test_l1_p22_no_client_of_a_vendor_blocks_the_loop() -> None:
    found = [
        f"{path}:{node.lineno} {ast.unparse(node.func)}"
        for path, tree in _programs("shared", "services", "monolith")
        if not path.startswith(COMMANDS)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and (_is_blocking(node) or _is_blocking_stripe(node))
    ]
    assert found == []


def _is_blocking(call: ast.Call) -> bool:
    function = call.func
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.attr in BLOCKING.get(function.value.id, ())
    )


def _is_blocking_stripe(call: ast.Call) -> bool:
    """A call below `.v1.` of Stripe's client that is not one of its `…_async` ones."""
    function = call.func
    if not isinstance(function, ast.Attribute):
        return False
    return ".v1." in ast.unparse(function) and not function.attr.endswith("_async")


def test_l11_no_model_that_the_vendor_retires_is_a_default() -> None:
    """Models end; the vendor's package says which, and a default must outlive the release."""
    found = {
        f"{path}: {model}"
        for package in ("services", "monolith")
        for path in (ROOT / package).rglob("*.py")
        for model in re.findall(r"anthropic:([a-z0-9.-]+)", path.read_text("utf-8"))
        if model in DEPRECATED_MODELS
    }
    assert found == set()


def test_p1_p2_no_status_beside_a_body_and_no_old_names_of_stripe() -> None:
    """`return {…}, 400` is a 200 with a list in FastAPI; `stripe.error` is on its way out."""
    found = [
        f"{path}:{node.lineno}"
        for path, tree in _programs("services", "monolith", "shared")
        for node in ast.walk(tree)
        if (
            isinstance(node, ast.Return)
            and isinstance(node.value, ast.Tuple)
            and any(isinstance(part, ast.Dict) for part in node.value.elts[:1])
        )
        or (isinstance(node, ast.Attribute) and ast.unparse(node).startswith("stripe.error"))
    ]
    assert found == []
