"""The words that a real model is given: who it plays, what is known, what was said; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.chat.models.prompts import Prompt, Speaker
from services.chat.providers.vendors.calls import Line, ModelCall

FOLLOW_UPS_MAX = 3
FOLLOW_UP_CHARACTERS = 200
FOLLOW_UP_TOKENS = 200
_ASK_FOLLOW_UPS = (
    "You suggest what a fan could ask next in a conversation with a character. Answer with three"
    " short questions, one per line, in the language of the conversation, and nothing else."
)


def reply_call(prompt: Prompt, place: int, said: Sequence[str]) -> ModelCall:
    """The call for the speaker at `place`; `said` are the replies of those before it."""
    speaker = prompt.speakers[place]
    background = prompt.background[place] if place < len(prompt.background) else ""
    if len(prompt.speakers) == 1:
        lines = tuple(_dialogue(prompt))
    else:
        lines = (Line("user", _transcript(prompt, speaker, said)),)
    return ModelCall(_persona(prompt, speaker, background), lines, priority=prompt.priority)


def follow_up_call(prompt: Prompt, replies: Sequence[str]) -> ModelCall:
    """The call for questions that the user might ask next."""
    said = [f"user: {_message(prompt)}"]
    said += [f"{one.name}: {text}" for one, text in zip(prompt.speakers, replies, strict=False)]
    return ModelCall(
        _ASK_FOLLOW_UPS, (Line("user", "\n".join(said)),), FOLLOW_UP_TOKENS, prompt.priority
    )


def questions_of(text: str) -> list[str]:
    """The questions of an answer: lines that end with a question mark, without their numbers."""
    lines = (line.strip().lstrip("-*•0123456789.) ").strip() for line in text.splitlines())
    found = [line for line in lines if line.endswith("?") and len(line) <= FOLLOW_UP_CHARACTERS]
    return list(dict.fromkeys(found))[:FOLLOW_UPS_MAX]


def _persona(prompt: Prompt, speaker: Speaker, background: str) -> str:
    origin = f" from {speaker.series}" if speaker.series else ""
    others = ", ".join(one.name for one in prompt.speakers if one is not speaker)
    company = f" Also present: {others}." if others else ""
    known = f"\n\nWhat is known about {speaker.name}:\n{background}" if background else ""
    return (
        f"You play {speaker.name}{origin} in a conversation with a fan.{company} Stay in character,"
        f" answer in the language of the last message, and write only your own words.{known}"
    )


def _message(prompt: Prompt) -> str:
    if prompt.picture is None:
        return prompt.message
    shown = f"[shows a picture: {prompt.picture}]"
    return f"{shown}\n{prompt.message}" if prompt.message else shown


def _dialogue(prompt: Prompt) -> Iterator[Line]:
    """Roles in turn, beginning with the user, as vendors want it."""
    role: str | None = None
    texts: list[str] = []
    turns = [
        ("user" if one.sender == "user" else "assistant", one.content) for one in prompt.history
    ]
    for next_role, text in [*turns, ("user", _message(prompt))]:
        if not text or (role is None and next_role == "assistant"):
            continue
        if role is not None and next_role != role:
            yield Line("user" if role == "user" else "assistant", "\n\n".join(texts))
            texts = []
        role = next_role
        texts.append(text)
    yield Line("user", "\n\n".join(texts))


def _transcript(prompt: Prompt, speaker: Speaker, said: Sequence[str]) -> str:
    """A group's conversation so far, one line per message, ending with what is to be written."""
    lines = [f"{one.sender}: {one.content}" for one in prompt.history]
    lines.append(f"user: {_message(prompt)}")
    lines += [f"{one.name}: {text}" for one, text in zip(prompt.speakers, said, strict=False)]
    return "\n".join([*lines, f"{speaker.name}:"])
