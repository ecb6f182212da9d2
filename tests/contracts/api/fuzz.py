"""Sends what schemathesis makes of an app's description, and judges the answers by the description."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
WAIT_SECONDS = 60
#: How often a made-up id is replaced by one that exists, and a token by none.
KNOWN_SHARE, ANONYMOUS_SHARE = 0.6, 0.05
MODES = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)


@dataclass(frozen=True)
class Caller:
    """Headers by security scheme, and ids that exist by the name of the parameter or field."""

    headers: Mapping[str, Mapping[str, str]]
    known: Mapping[str, str] = field(default_factory=dict)


def fuzz(document: dict[str, Any], base_url: str, caller: Caller, examples: int) -> list[str]:
    """Problems found; the same requests every time. Blocking: runs in a thread of its own."""
    schema = schemathesis.openapi.from_dict(document)
    problems: list[str] = []
    with requests.Session() as session:
        session.trust_env = False
        for operation in _in_order(schema):
            problems += _fuzz_operation(operation, session, base_url, caller, examples)
    return problems


def _in_order(schema: Any) -> Iterator[Any]:
    """Operations that take something away come last, so that the others find it."""
    operations = [found.ok() for found in schema.get_all_operations()]
    yield from sorted(operations, key=lambda o: (o.method.upper() == "DELETE", o.path, o.method))


def _fuzz_operation(
    operation: Any, session: requests.Session, base_url: str, caller: Caller, examples: int
) -> list[str]:
    problems: list[str] = []
    for mode in MODES:
        try:
            strategy = operation.as_strategy(generation_mode=mode)
            _run(strategy, session, base_url, caller, examples, problems)
        except hypothesis.errors.Unsatisfiable:
            continue  # nothing can be wrong about an operation without input
        if problems:
            break
    return problems[:1]


def _run(
    strategy: Any,
    session: requests.Session,
    base_url: str,
    caller: Caller,
    examples: int,
    problems: list[str],
) -> None:
    rnd = random.Random(7)

    @hypothesis.seed(1)
    @hypothesis.settings(
        max_examples=examples,
        derandomize=False,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=strategy)
    def each(case: Any) -> None:
        _complete(case, caller, rnd)
        response = case.call(base_url=base_url, session=session, timeout=WAIT_SECONDS)
        try:
            case.validate_response(response, checks=CHECKS)
        except (Failure, FailureGroup) as failure:
            problems.append(f"{case.method} {case.formatted_path}\n{failure}")

    each()


def _complete(case: Any, caller: Caller, rnd: random.Random) -> None:
    """Put in a token and, often, ids that exist."""
    for requirement in case.operation.definition.raw.get("security", ()):
        for scheme in requirement:
            if rnd.random() >= ANONYMOUS_SHARE:
                case.headers = {**(case.headers or {}), **caller.headers[scheme]}
    for name in list(case.path_parameters or {}):
        if name in caller.known and rnd.random() < KNOWN_SHARE:
            case.path_parameters[name] = caller.known[name]
    if isinstance(case.body, dict):
        for name in caller.known.keys() & case.body.keys():
            if rnd.random() < KNOWN_SHARE:
                case.body[name] = caller.known[name]
