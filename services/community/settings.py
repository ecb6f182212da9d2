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
    room_silence_seconds: float = Field(default=120.0, gt=0)  # contract, 1.14
    #: Who writes stories, as chat's model of this name: `<vendor>:<model>[,<vendor>:<model>…]`; the
    #: later ones stand in when the earlier ones fail. Vendors without a key are passed over.
    model_claude_3_haiku: str = Field(
        default="anthropic:claude-haiku-4-5,openai:gpt-4o-mini",
        pattern=r"^[a-z]+:[^,\s]+(,[a-z]+:[^,\s]+)*$",
    )

    @property
    def story_models(self) -> tuple[tuple[str, str], ...]:
        """(vendor, the vendor's name of the model), in the order in which they are asked."""
        chain = (word.partition(":") for word in self.model_claude_3_haiku.split(","))
        return tuple((vendor, model) for vendor, _, model in chain)

    @property
    def owners_url(self) -> str:
        """Where the routes of other domains are asked."""
        return self.owner_api_url or self.public_base_url
