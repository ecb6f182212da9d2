"""Everything that the endpoints reach, in one piece; `app.state.chat`."""

from __future__ import annotations

from dataclasses import dataclass

from services.chat.service.conversations import Conversations
from services.chat.service.pictures import Pictures
from services.chat.service.streaming import Streaming
from services.chat.service.talking import Talking
from services.chat.service.voice import Voice


@dataclass(frozen=True, slots=True)
class Chat:
    """The service's parts."""

    talking: Talking
    streaming: Streaming
    conversations: Conversations
    voice: Voice
    pictures: Pictures
