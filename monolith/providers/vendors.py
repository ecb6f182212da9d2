"""Which vendor stands behind a model name; settings, because vendors rename their models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from monolith.errors import provider_failed
from monolith.providers.anthropic_model import AnthropicModel
from monolith.providers.instructions import story_instruction
from monolith.providers.interfaces import (
    DEFAULT_MODEL,
    Delta,
    Prompt,
    Speaker,
    StoryRequest,
    StoryText,
    estimate_tokens,
)
from monolith.providers.openai_models import OpenAiModels

# Model name -> vendor and the vendor's name for it; MODEL_<NAME>=<vendor>:<model> overrides.
VENDOR_MODELS = {
    "claude-3-haiku": "anthropic:claude-haiku-4-5",
    "claude-3-5-sonnet": "anthropic:claude-sonnet-5",
    "gpt-4o-mini": "openai:gpt-4o-mini",
    "gpt-4o": "openai:gpt-4o",
    "gemini-flash": "openai:gemini-flash",
    "gemini-pro": "openai:gemini-pro",
    "llama-3-70b": "openai:llama-3-70b",
    "deepseek-chat": "openai:deepseek-chat",
}


class SpeakerModel(Protocol):
    def stream(
        self, vendor_model: str, prompt: Prompt, speaker: Speaker, said: list[str]
    ) -> AsyncIterator[str]: ...


class VendorModels:
    """Asks one vendor per speaker, in speaking order."""

    def __init__(
        self,
        keys: Mapping[str, str],
        claude: AnthropicModel | None,
        gpt: OpenAiModels | None,
    ) -> None:
        self._keys = keys
        self._vendors: dict[str, SpeakerModel | None] = {"anthropic": claude, "openai": gpt}

    def _choose(self, model: str) -> tuple[SpeakerModel, str]:
        setting = "MODEL_" + model.upper().replace("-", "_").replace(".", "_")
        vendor, _, vendor_model = self._keys.get(setting, VENDOR_MODELS[model]).partition(":")
        chosen = self._vendors.get(vendor)
        if chosen is None:
            raise provider_failed("model")
        return chosen, vendor_model

    async def replies(self, prompt: Prompt) -> AsyncIterator[Delta]:
        chosen, vendor_model = self._choose(prompt.model)
        said: list[str] = []
        for position, speaker in enumerate(prompt.speakers):
            pieces: list[str] = []
            async for text in chosen.stream(vendor_model, prompt, speaker, said):
                pieces.append(text)
                yield Delta(position, text)
            said.append("".join(pieces))

    async def follow_ups(self, _prompt: Prompt, _replies: list[str]) -> list[str]:
        return []  # a second paid call per message; the contract allows none

    async def story(self, request: StoryRequest) -> StoryText:
        narrator = Speaker("the narrator", "")
        prompt = Prompt(DEFAULT_MODEL, (narrator,), (), story_instruction(request))
        text = "".join([delta.text async for delta in self.replies(prompt)]).strip()
        if not text:
            raise provider_failed("model")
        first, _, rest = text.partition("\n")
        title = request.title or first.strip("# ").strip()[:200] or "Untitled"
        return StoryText(title, rest.strip() or text, estimate_tokens(text))
