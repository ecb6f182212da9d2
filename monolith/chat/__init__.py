"""Conversations with characters; owns conversations, messages, message_reactions."""

from __future__ import annotations

from collections.abc import Sequence

from monolith.chat import conversations, export, messages, picture, stream, talk, voice
from monolith.chat.handlers import HANDLERS, complete_paused
from monolith.chat.router import router
from monolith.chat.running import RunningReplies
from monolith.context import Part
from monolith.domain import Domain, Schedule
from monolith.settings import Settings

__all__ = [
    "DOMAIN",
    "conversations",
    "export",
    "messages",
    "picture",
    "stream",
    "talk",
    "voice",
]


def parts(_settings: Settings) -> Sequence[Part]:
    return (RunningReplies(),)


DOMAIN = Domain(
    "chat",
    router,
    parts,
    HANDLERS,
    (Schedule("chat.completed", 60.0, complete_paused),),
)
