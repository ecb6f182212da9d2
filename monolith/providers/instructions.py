"""The words that a real model is given: who it plays and what was said; pure."""

from __future__ import annotations

from monolith.providers.interfaces import Prompt, Speaker, StoryRequest


def persona(prompt: Prompt, speaker: Speaker) -> str:
    """The system text of one speaker."""
    origin = f" from {speaker.series}" if speaker.series else ""
    others = [s.name for s in prompt.speakers if s is not speaker]
    company = f" Also present: {', '.join(others)}." if others else ""
    return (
        f"You play {speaker.name}{origin} in a conversation with a fan.{company} "
        "Stay in character, answer in the language of the last message, and write only "
        "your own words."
    )


def transcript(prompt: Prompt, speaker: Speaker, said: list[str]) -> str:
    """The conversation so far, one line per message, ending with what is to be answered."""
    lines = [f"{turn.sender}: {turn.content}" for turn in prompt.history]
    lines.append(f"user: {prompt.message}")
    lines += [f"{s.name}: {text}" for s, text in zip(prompt.speakers, said, strict=False)]
    lines.append(f"{speaker.name}:")
    return "\n".join(lines)


def story_instruction(request: StoryRequest) -> str:
    """One text that asks for a whole story with its title in the first line."""
    wishes = [f"Characters: {', '.join(request.characters)}."]
    for name, value in (
        ("World", request.universe),
        ("Setting", request.setting),
        ("Tone", request.tone),
        ("Themes", ", ".join(request.themes)),
        ("Title", request.title or ""),
    ):
        if value:
            wishes.append(f"{name}: {value}.")
    return (
        "Write a short story. The first line is its title alone, then an empty line, "
        "then the story. " + " ".join(wishes)
    )
