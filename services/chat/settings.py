"""Settings of the chat service and its worker beyond those of every app."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from services.chat.providers.vendors.registry import Chain, parse_chain
from shared.contract.chat import ModelName, PremiumModel, StandardModel
from shared.settings import BaseUrl
from shared.storage import StorageSettings

PORT = 8005
MODEL_NAMES: tuple[str, ...] = (*get_args(StandardModel), *get_args(PremiumModel))


def _chain(value: object) -> object:
    return parse_chain(value) if isinstance(value, str) else value


#: `<vendor>:<model>[,<vendor>:<model>…]`: the later ones stand in when the earlier ones fail.
ModelChain = Annotated[Chain, NoDecode, BeforeValidator(_chain)]


class ChatSettings(StorageSettings):
    """Of the web process. A field `manifest` is the variable `MANIFEST`.

    The rest counts with PROVIDERS=live only: a vendor without a key is not used.
    """

    manifest: Path = Path("migration.toml")

    anthropic_api_key: SecretStr | None = None
    anthropic_base_url: BaseUrl | None = None  # None: the SDK's own
    openai_api_key: SecretStr | None = None
    openai_base_url: BaseUrl | None = None
    groq_api_key: SecretStr | None = None
    groq_base_url: BaseUrl = "https://api.groq.com/openai/v1"
    deepseek_api_key: SecretStr | None = None
    deepseek_base_url: BaseUrl = "https://api.deepseek.com/v1"
    gemini_api_key: SecretStr | None = None
    gemini_base_url: BaseUrl = "https://generativelanguage.googleapis.com/v1beta/openai"

    # MODEL_<NAME>: what stands behind a public model name; vendors rename their models.
    model_claude_3_haiku: ModelChain = parse_chain("anthropic:claude-haiku-4-5,openai:gpt-4o-mini")
    model_gpt_4o_mini: ModelChain = parse_chain("openai:gpt-4o-mini,anthropic:claude-haiku-4-5")
    model_gemini_flash: ModelChain = parse_chain("gemini:gemini-2.5-flash,openai:gpt-4o-mini")
    model_llama_3_70b: ModelChain = parse_chain("groq:llama-3.3-70b-versatile,openai:gpt-4o-mini")
    model_deepseek_chat: ModelChain = parse_chain("deepseek:deepseek-chat,openai:gpt-4o-mini")
    model_claude_3_5_sonnet: ModelChain = parse_chain("anthropic:claude-sonnet-5,openai:gpt-4o")
    model_gpt_4o: ModelChain = parse_chain("openai:gpt-4o,anthropic:claude-sonnet-5")
    model_gemini_pro: ModelChain = parse_chain("gemini:gemini-2.5-pro,openai:gpt-4o")

    first_token_seconds: float = Field(default=12.0, gt=0, le=40)  # then the next of the chain
    model_calls_at_once: int = Field(default=64, ge=1, le=1000)  # per vendor and process
    follow_ups: bool = True  # ask a model for questions that the user might ask next
    follow_up_model: ModelName = "claude-3-haiku"
    transcription_model: str = "whisper-1"
    speech_model: str = "tts-1"
    vision_model: str = "gpt-4o-mini"
    moderation_model: str = "omni-moderation-latest"

    backgrounds: bool = True  # tell models what is known about a character
    tmdb_api_key: SecretStr | None = None  # a v3 key or a v4 read token
    tmdb_base_url: BaseUrl = "https://api.themoviedb.org/3"
    wikipedia_base_url: BaseUrl = "https://en.wikipedia.org"

    def chains(self) -> dict[str, Chain]:
        """Deployments by public model name."""
        return {name: getattr(self, field_of(name)) for name in MODEL_NAMES}


def field_of(name: str) -> str:
    """The setting of a public model name: MODEL_GPT_4O_MINI of `gpt-4o-mini`."""
    return "model_" + name.replace("-", "_").replace(".", "_")
