"""The variables that point an app at the stand-ins instead of the vendors' clouds; pure data.

Keys are words of nobody: the stand-ins take any. Everything else of the apps stays as it is.
"""

from __future__ import annotations

from urllib.parse import urlsplit

#: Base64, as Azure's SDK wants a key.
BLOB_KEY = "c3RhbmQtaW4ga2V5IG9mIGEgdGVzdA=="
BLOB_ACCOUNT = "standin"
#: Vendors of models that are reached by OpenAI's SDK.
COMPATIBLE = ("GROQ", "DEEPSEEK", "GEMINI")


def vendor_environment(url: str, smtp_port: int | None = None) -> dict[str, str]:
    """Keys and addresses of every vendor for apps that run with PROVIDERS=live."""
    blob = f"{url}/blob/{BLOB_ACCOUNT}"
    values = {
        "PROVIDERS": "live",
        "STRIPE_SECRET_KEY": "sk_test_stand_in",
        "STRIPE_API_BASE": f"{url}/stripe",
        "ANTHROPIC_API_KEY": "stand-in",
        "ANTHROPIC_BASE_URL": f"{url}/anthropic",
        "OPENAI_API_KEY": "stand-in",
        "OPENAI_BASE_URL": f"{url}/openai/v1",
        **{
            f"{name}_{part}": value
            for name in COMPATIBLE  # they speak OpenAI's format
            for part, value in (("API_KEY", "stand-in"), ("BASE_URL", f"{url}/openai/v1"))
        },
        "SUPABASE_URL": f"{url}/supabase",
        "SUPABASE_ANON_KEY": "sb_publishable_stand_in",
        "SUPABASE_SERVICE_KEY": "sb_secret_stand_in",
        "CLERK_ISSUER": f"{url}/clerk",
        "CLERK_AUTHORIZED_PARTIES": "http://localhost:3000",
        "CLERK_SECRET_KEY": "sk_test_stand_in",
        "CLERK_API_URL": f"{url}/clerk",
        "REVENUECAT_API_KEY": "stand-in",
        "REVENUECAT_BASE_URL": f"{url}/revenuecat/v1",
        "TMDB_API_KEY": "stand-in",
        "TMDB_BASE_URL": f"{url}/tmdb/3",
        "TVDB_API_KEY": "stand-in",
        "TVDB_BASE_URL": f"{url}/tvdb/v4",
        "WIKIPEDIA_BASE_URL": f"{url}/wikipedia",
        "SENDGRID_API_KEY": "SG.stand-in",
        "SENDGRID_BASE_URL": f"{url}/sendgrid",
        "AZURE_STORAGE_CONNECTION_STRING": (
            f"DefaultEndpointsProtocol={urlsplit(url).scheme};AccountName={BLOB_ACCOUNT};"
            f"AccountKey={BLOB_KEY};BlobEndpoint={blob};"
        ),
    }
    if smtp_port is not None:
        host = urlsplit(url).hostname or "127.0.0.1"
        values |= {"SMTP_HOST": host, "SMTP_PORT": str(smtp_port), "SMTP_STARTTLS": "false"}
    return values
