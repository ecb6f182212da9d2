"""The public routes of the chat domain (contract, 2.2): parameters in, wire models out."""

from services.chat.endpoints import conversations, messages, pictures, talking, voice

ROUTERS = (talking.router, conversations.router, messages.router, voice.router, pictures.router)
