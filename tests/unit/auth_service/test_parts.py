"""Hashes, names, states and settings of the auth service, without any server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr, ValidationError

from services.auth.clerk_effects import email_of, name_of
from services.auth.codes import code_hash
from services.auth.consumers import AuthEvents
from services.auth.mail import ReferenceMailer
from services.auth.models import clean_name, is_usable_email
from services.auth.passwords import Passwords, Scrypt
from services.auth.settings import AuthSettings
from services.auth.status import Addresses, notice, overall, served_domains, under_maintenance
from services.auth.supabase_effects import person_of
from services.auth.webhooks import stored_as
from shared.contract.system import DomainState
from shared.control.model import Flag
from shared.manifest import load_manifest
from shared.web.maintenance import Mode
from shared.webhooks import Delivery

USER = "0b8e0ad6-6c1d-4f3a-9f0e-6f2d6a1c7f10"


async def test_a_password_is_known_by_its_hash_alone() -> None:
    passwords = Passwords()
    stored = await passwords.hash("secret-word")
    assert stored.startswith("scrypt$14$8$1$")
    assert await passwords.verify("secret-word", stored)
    assert not await passwords.verify("secret-worm", stored)
    assert not await passwords.verify("secret-word", None)
    assert stored != await passwords.hash("secret-word")


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "bcrypt$14$8$1$AA$AA",
        "scrypt$14$8$1$AA",
        "scrypt$x$8$1$AA$AA",
        "scrypt$31$8$1$AA$AA",
        "scrypt$14$8$99$AA$AA",
        "scrypt$14$8$1$AA$",
    ],
)
async def test_a_row_cannot_make_the_process_compute_for_ever(stored: str) -> None:
    assert Scrypt.parse(stored) is None
    assert not await Passwords().verify("x", stored)


def test_codes_are_hashed_with_their_id() -> None:
    assert code_hash(UUID(USER), "000000") != code_hash(UUID(int=1), "000000")
    assert len(code_hash(UUID(USER), "000000")) == 64


def test_names_and_addresses_of_others_are_cut_to_what_fits() -> None:
    assert clean_name(" A\x00na ") == "Ana"
    assert clean_name("   ") is None
    assert len(clean_name("x" * 200) or "") == 80
    assert not is_usable_email("a" * 321)
    assert not is_usable_email("a\x00@example.com")
    assert is_usable_email("a@example.com")


def test_people_are_read_from_events_and_from_rows_of_supabase() -> None:
    event = {"id": USER, "email": "a@example.com", "user_metadata": {"full_name": "Ana"}}
    row = {"id": USER, "email": "a@example.com", "raw_user_meta_data": {"name": "Ana"}}
    assert person_of(event) == person_of(row)
    assert person_of({"id": "7"}) is None
    odd = person_of({"id": USER, "email": 7, "user_metadata": [], "deleted_at": "2026-01-01"})
    assert odd is not None
    assert (odd.email, odd.name, odd.deleted) == (None, None, True)


def test_the_primary_address_of_clerk_comes_first() -> None:
    data: dict[str, Any] = {
        "email_addresses": [
            {"id": "e0", "email_address": "other@example.com"},
            {"id": "e1", "email_address": "first@example.com"},
            "nonsense",
        ],
        "primary_email_address_id": "e1",
        "first_name": "Cleo",
        "last_name": None,
    }
    assert (email_of(data), name_of(data)) == ("first@example.com", "Cleo")
    assert email_of(data | {"primary_email_address_id": "gone"}) == "other@example.com"
    assert email_of({}) is None


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        ({"type": "UPDATE", "schema": "auth", "table": "users"}, "UPDATE"),
        ({"type": "UPDATE", "schema": "public", "table": "users"}, "UPDATE:users"),
        ({"type": "user.created"}, "user.created"),
    ],
)
def test_deliveries_are_stored_under_the_type_that_both_apps_know(
    payload: dict[str, Any], kind: str
) -> None:
    delivery = Delivery("supabase", "x", "user.created", None, b"{}", payload)
    assert stored_as(delivery).event_type == kind


def test_the_product_is_as_ill_as_its_worst_domain() -> None:
    states: dict[str, DomainState] = {"auth": "ok", "chat": "read_only"}
    assert overall(states) == "degraded"
    assert overall(states | {"media": "down"}) == "down"
    assert overall(states | {"media": "down", "content": "maintenance"}) == "maintenance"
    assert overall({"auth": "ok"}) == "ok"


def test_a_mode_of_everything_is_announced_first() -> None:
    until = datetime(2026, 1, 1, tzinfo=UTC)
    chat, every = Mode("chat", "read_only", "soon", until), Mode("all", "full", "now", None)
    told = notice({"chat": chat, "all": every})
    assert (told.mode, told.scopes, told.message) == ("full", ["all", "chat"], "now")
    assert notice({"chat": chat}).until == until
    assert notice({}).mode == "off"
    assert under_maintenance("down", {"chat": chat}, "chat") == "read_only"
    assert under_maintenance("ok", {"chat": chat}, "media") == "ok"
    assert under_maintenance("ok", {"chat": chat, "all": every}, "chat") == "maintenance"


def test_the_handlers_are_those_that_the_manifest_subscribes() -> None:
    handlers = AuthEvents(ReferenceMailer()).handlers()
    assert set(handlers) == set(load_manifest().services["auth"].subscribes)


def settings(**changes: Any) -> AuthSettings:
    values: dict[str, Any] = {
        "shared_database_url": SecretStr("postgresql://db/x"),
        "redis_url": SecretStr("redis://r"),
        "rabbitmq_url": SecretStr("amqp://b"),
        "jwt_secrets": (SecretStr("x" * 32),),
        "public_base_url": "https://api.example.com",
    }
    return AuthSettings(**(values | changes))


def test_settings_say_where_people_and_owners_are() -> None:
    plain = settings()
    assert (plain.link_domain, plain.owners_url) == ("example.com", "https://api.example.com")
    chosen = settings(
        web_domain="sx.example",
        owner_api_url="http://router:8080",
        domain_health_urls="chat=http://chat:8000, media=http://media:8000/",
        chat_url="http://elsewhere:8000",
        content_url="http://content:8000",
    )
    assert (chosen.link_domain, chosen.owners_url) == ("sx.example", "http://router:8080")
    assert chosen.app_urls == {
        "content": "http://content:8000",
        "chat": "http://elsewhere:8000",
    }
    assert chosen.domain_health_urls == {
        "chat": "http://chat:8000",
        "media": "http://media:8000",
    }


def test_a_domain_is_asked_where_its_routes_are_served() -> None:
    flags = {
        "chat.talk": Flag("chat.talk", "chat", percent=1),
        "media.list": Flag("media.list", "media"),
    }
    served = served_domains(flags)
    assert served == {"chat"}
    apps = {"chat": "http://chat", "media": "http://media"}
    told = Addresses({"content": "http://told"}, apps, "http://old").asked(served)
    assert told == {
        "chat": "http://chat",
        "payments": "http://old",
        "content": "http://told",
        "media": "http://old",
        "community": "http://old",
        "analytics": "http://old",
    }
    assert Addresses({}, apps, None).asked(served) == {"chat": "http://chat"}


@pytest.mark.parametrize(
    "changes",
    [{"domain_health_urls": "chat"}, {"auth_backend": "supabase"}, {"auth_backend": "ldap"}],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        settings(**changes)
