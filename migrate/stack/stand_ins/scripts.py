"""What a prompt asks a stand-in of a model to do, by markers in its text; pure.

`[[fail]]` 500, `[[limit]]` 429 with Retry-After, `[[overloaded]]` 529 (503 where that is unknown),
`[[fail-mid]]` an error after two deltas, `[[disconnect]]` the line is cut after two deltas, `[[slow]]`
a pause before the answer, `[[timeout]]` no answer for a long time, `[[think]]` a thinking block first,
`[[reject]]` is flagged by moderation. `[[anthropic:fail]]` is for that vendor alone.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_MARKER = re.compile(r"\[\[(?:([a-z]+):)?([a-z-]+)\]\]\s*")
#: Deltas before a stream fails or is cut.
DELTAS_BEFORE_END = 2


@dataclass(frozen=True, slots=True)
class Script:
    """Markers and the reply, already cut into the pieces of a stream."""

    markers: frozenset[str]
    pieces: tuple[str, ...]

    @property
    def reply(self) -> str:
        return "".join(self.pieces)

    def has(self, marker: str) -> bool:
        return marker in self.markers

    @property
    def ends_early(self) -> bool:
        """Whether a stream of it never comes to its end."""
        return self.has("fail-mid") or self.has("disconnect")


def script_of(prompt: str, vendor: str = "") -> Script:
    """The reply to a prompt is `heard: ` and its text, cut before each space."""
    text = _MARKER.sub("", prompt).strip()
    reply = f"heard: {text}"
    markers = frozenset(name for whose, name in _MARKER.findall(prompt) if whose in ("", vendor))
    return Script(markers, tuple(re.split(r"(?= )", reply)))


def tokens_of(text: str) -> int:
    """Four code points a token, rounded up."""
    return math.ceil(len(text) / 4)


def shortened(script: Script, max_tokens: int | None) -> Script:
    """The script with no more tokens than allowed; the same object when nothing is cut off."""
    if max_tokens is None or tokens_of(script.reply) <= max_tokens:
        return script
    kept = script.reply[: max_tokens * 4]
    return Script(script.markers, tuple(re.split(r"(?= )", kept)))
