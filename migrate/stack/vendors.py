"""The stand-ins of the vendors' clouds as a process of a stack, and what apps are told of them; pure data."""

from __future__ import annotations

from migrate.stack.environment import HOST, StackFacts, app_environment
from migrate.stack.stand_ins.pointing import vendor_environment
from migrate.stack.topology import STAND_INS, AppProcess

SMTP = f"{STAND_INS}-smtp"
#: Where each sender's deliveries go: the public paths never change (contract, section 2).
WEBHOOK_PATHS = {
    "STRIPE": "/api/payments/webhook",
    "REVENUECAT": "/api/payments/webhook/revenuecat",
    "SUPABASE": "/api/webhooks/supabase",
    "CLERK": "/api/webhooks/clerk",
}


def stand_in_environment(facts: StackFacts) -> dict[str, str]:
    """The variables of the stand-ins: they deliver to the public address, signed for the apps."""
    secrets = facts.credentials
    return {
        "HOST": HOST,
        "PORT": str(facts.ports[STAND_INS]),
        "SMTP_PORT": str(facts.ports[SMTP]),
        "MAIL_OUTBOX": str(facts.layout.data(STAND_INS) / "outbox"),
        "PUBLIC_BASE_URL": "",  # their own address, which is not the system's
        "PYTHONUNBUFFERED": "1",
        "WEBHOOK_SECRETS_STRIPE": secrets.webhook_stripe,
        "WEBHOOK_SECRETS_REVENUECAT": secrets.webhook_revenuecat,
        "WEBHOOK_SECRETS_SUPABASE": secrets.webhook_supabase,
        "WEBHOOK_SECRETS_CLERK": secrets.webhook_clerk,
        **{f"{name}_WEBHOOK_URL": facts.public_url + path for name, path in WEBHOOK_PATHS.items()},
    }


def vendor_variables(process: AppProcess, facts: StackFacts) -> dict[str, str]:
    """What points a process at the stand-ins; nothing when the stack has none."""
    if STAND_INS not in facts.ports or process.kind in ("router", "stand_ins"):
        return {}
    return vendor_environment(f"http://{HOST}:{facts.ports[STAND_INS]}", facts.ports[SMTP])


def process_environment(process: AppProcess, facts: StackFacts) -> dict[str, str]:
    """All variables of one process of ours."""
    if process.kind == "stand_ins":
        return stand_in_environment(facts)
    return app_environment(process, facts) | vendor_variables(process, facts)
