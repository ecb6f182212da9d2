"""What a model is asked: who answers, in which order, to what; pure."""

from __future__ import annotations

from dataclasses import dataclass

CHARACTERS_PER_TOKEN = 4  # the estimate of the contract (7), also used for the context budget
#: Context kept for the model, in tokens, by tier (contract, 5.1).
CONTEXT_TOKENS = {0: 12_000, 1: 64_000, 2: 64_000}


@dataclass(frozen=True, slots=True)
class Speaker:
    """A character that answers; `series` is empty when it comes from nowhere in particular."""

    name: str
    series: str


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier message; sender is `user` or the character."""

    sender: str
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """One exchange; `history` runs oldest first and ends before `message`."""

    model: str  # the public name
    speakers: tuple[Speaker, ...]
    history: tuple[Turn, ...]
    message: str
    is_streamed: bool = False
    background: tuple[str, ...] = ()  # what is known of each speaker, "" where nothing is
    picture: str | None = None  # what the picture shows that came with the message
    priority: int = 0  # the caller's tier: a higher one is first in the queue


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the reply of speakers[speaker]; speakers come one after the other."""

    speaker: int
    text: str


def estimate_tokens(*texts: str) -> int:
    """ceil(code points / 4) over all texts."""
    return -(-sum(len(text) for text in texts) // CHARACTERS_PER_TOKEN)


def history_tokens(tier: int, message: str) -> int:
    """How many tokens of earlier messages still fit beside `message`."""
    return CONTEXT_TOKENS[tier] - estimate_tokens(message)
