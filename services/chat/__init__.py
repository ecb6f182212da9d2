"""The chat service: conversations with characters; owns conversations, messages, message_reactions."""
