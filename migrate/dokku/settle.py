"""What a deploy needs just before and just after it: rights on tables that exist by now, the certificate.

Nothing here replaces a container or changes a password.
"""

from __future__ import annotations

from migrate.dokku import plan_web
from migrate.dokku.apply import Applier
from migrate.dokku.argv import command
from migrate.dokku.change import Change
from migrate.dokku.observed import ObservedHost
from migrate.dokku.plan_stores import Passwords, roles_of
from migrate.dokku.reading import app_names, domain_owners, probe_store, read_app
from migrate.dokku.roles import right_statements, script
from migrate.dokku.transport import must


async def give_rights(applier: Applier, app: str) -> int:
    """Give and take rights of the app's roles by the tables that are there; how many statements."""
    desired, transport = applier.desired, applier.transport
    target = desired.apps[app]
    count = 0
    for store in sorted({link.store for link in target.links if link.role}):
        if (await transport.run(command("postgres:exists", store))).exit != 0:
            continue
        state = await probe_store(transport, desired, store)
        roles = [
            role
            for role in roles_of(store, (target,), Passwords({}, lambda _store, _role: ""))
            if role.name in state.roles
        ]
        statements = right_statements(roles, state)
        if statements:
            sql = script((), statements)
            await must(transport, command("postgres:connect", store, stdin=sql), applier.redact)
        count += len(statements)
    return count


async def finish_web(applier: Applier, app: str) -> None:
    """After a deploy of a public app: nginx properties and the certificate that waited for it."""
    desired, transport = applier.desired, applier.transport
    target = desired.apps[app]
    if not target.public or desired.section.scheduler == "k3s":
        return
    current = await read_app(transport, app, public=True, k3s=False)
    names = await app_names(transport)
    owners = await domain_owners(transport, names)
    observed = ObservedHost(
        names, {app: current}, {}, frozenset(), frozenset(), owners, True, {}, {}
    )
    for row in (
        *plan_web.nginx(target, current),
        *plan_web.certificate(target, current, observed),
    ):
        if isinstance(row, Change):
            await applier.carry_out(row)
