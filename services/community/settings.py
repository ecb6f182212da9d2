"""Settings of the community service beyond those of every app; its worker needs no more."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from shared.settings import AppSettings, BaseUrl

PORT = 8006


class CommunitySettings(AppSettings):
    """Of the web process. A field `manifest` is the variable `MANIFEST`."""

    manifest: Path = Path("migration.toml")
    owner_api_url: BaseUrl | None = None  # where other domains answer; default: the public address
    anthropic_api_key: SecretStr | None = None  # with PROVIDERS=live
    anthropic_base_url: BaseUrl | None = None
    openai_api_key: SecretStr | None = None  # with PROVIDERS=live; without it nothing is moderated
    openai_base_url: BaseUrl | None = None
    #: Who writes stories, `<vendor>:<the vendor's name of the model>`, as in every app of the product.
    model_claude_3_haiku: str = Field(
        default="anthropic:claude-haiku-4-5", pattern=r"^(anthropic|openai):.+$"
    )

    @property
    def owners_url(self) -> str:
        """Where the routes of other domains are asked."""
        return self.owner_api_url or self.public_base_url
