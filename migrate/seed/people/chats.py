"""Conversations, messages, reactions and what analytics counts of them; pure."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from uuid import UUID

from migrate.seed.people.chance import Chance
from migrate.seed.people.circle import Circle, Part, Person
from migrate.seed.people.rows import Rows
from migrate.seed.people.words import ANSWERS, QUESTIONS

#: Means that together make about a hundred messages per person.
CONVERSATIONS_PER_PERSON = 4.6
EXCHANGES_PER_CONVERSATION = 9.0
GROUP_SHARE, PINNED_SHARE, LIKED_SHARE = 0.08, 0.01, 0.06
PREMIUM_SHARE = 0.3  # of the conversations of paying people
STANDARD_MODELS = ("claude-3-haiku", "gpt-4o-mini", "gemini-flash", "llama-3-70b", "deepseek-chat")
PREMIUM_MODELS = ("claude-3-5-sonnet", "gpt-4o", "gemini-pro")
CHARACTERS_PER_TOKEN = 4  # contract, 7


@dataclass(slots=True)
class Talked:
    """What one person has said in all conversations: the source of quotas and analytics."""

    conversations: list[UUID] = field(default_factory=list)
    messages_by_day: Counter[date] = field(default_factory=Counter)
    tokens_by_day: Counter[date] = field(default_factory=Counter)
    chat_units_by_day: Counter[date] = field(default_factory=Counter)
    premium_by_day: Counter[date] = field(default_factory=Counter)
    standard_tokens: int = 0
    premium_tokens: int = 0


@dataclass(slots=True)
class _Conversation:
    id: UUID
    parts: tuple[Part, ...]
    others: Sequence[Part]
    model: str
    is_premium: bool
    seq: int = 0
    tokens: int = 0
    messages: int = 0


def add_chats(circle: Circle, rows: Rows) -> dict[UUID, Talked]:
    """Conversations of everybody; what each person has said."""
    talked: dict[UUID, Talked] = defaultdict(Talked)
    for person in circle.people:
        chance = circle.chance("chats", person.number)
        count = 1 + chance.about(CONVERSATIONS_PER_PERSON * person.diligence)
        for _ in range(count):
            _add_conversation(circle, person, chance, rows, talked[person.id])
    return talked


def _add_conversation(
    circle: Circle, person: Person, chance: Chance, rows: Rows, talked: Talked
) -> None:
    is_group = chance.happens(GROUP_SHARE) and len(set(person.favourites)) > 1
    known = list(dict.fromkeys(person.favourites))
    parts = tuple(chance.some(known, 3)) if is_group else (chance.choice(known),)
    if len({part.name for part in parts}) < len(parts):
        parts, is_group = parts[:1], False
    is_premium = person.plan > 0 and chance.happens(PREMIUM_SHARE)
    model = chance.choice(PREMIUM_MODELS if is_premium else STANDARD_MODELS)
    talk = _Conversation(chance.uuid(), parts, known, model, is_premium)
    opened = chance.moment(person.created_at, circle.until - timedelta(hours=6))
    at, days = opened, set[date]()
    for _ in range(1 + chance.about(EXCHANGES_PER_CONVERSATION)):
        last = at
        _add_exchange(person, chance, rows, talk, at, talked)
        days.add(at.date())
        pause = timedelta(seconds=chance.uniform(15, 240))
        if chance.happens(0.04):
            pause += timedelta(days=chance.expovariate(1 / 3))
        at += pause
        if at >= circle.until:
            break
    for day in days if not is_premium else ():
        talked.chat_units_by_day[day] += 1
    talked.conversations.append(talk.id)
    _add_rows(person, rows, talk, opened, last, is_group=is_group)


def _add_exchange(
    person: Person, chance: Chance, rows: Rows, talk: _Conversation, at: datetime, talked: Talked
) -> None:
    speakers = talk.parts if chance.happens(0.7) else talk.parts[:1]
    question = _line(chance, QUESTIONS, talk.parts[0], talk.others)
    replies = [(part.name, _line(chance, ANSWERS, part, talk.others)) for part in speakers]
    letters = len(question) + sum(len(text) for _, text in replies)
    tokens = math.ceil(letters / CHARACTERS_PER_TOKEN)
    talk.seq += 1
    pinned = chance.happens(PINNED_SHARE)
    first = (chance.uuid(), talk.id, talk.seq, "user", "user", question, None, None, pinned, at, at)
    rows["messages"].append(first)
    for place, (name, text) in enumerate(replies):
        talk.seq += 1
        id_ = chance.uuid()
        spent = tokens if place == 0 else 0
        rows["messages"].append(
            (id_, talk.id, talk.seq, "assistant", name, text, talk.model, spent, False, at, at)
        )
        if chance.happens(LIKED_SHARE):
            kind = "like" if chance.happens(0.85) else "dislike"
            rows["message_reactions"].append((id_, person.id, kind, at, at))
    talk.tokens += tokens
    talk.messages += 1 + len(replies)
    _count(talked, talk, at.date(), tokens)


def _count(talked: Talked, talk: _Conversation, day: date, tokens: int) -> None:
    talked.messages_by_day[day] += 1
    talked.tokens_by_day[day] += tokens
    if talk.is_premium:
        talked.premium_by_day[day] += 1
        talked.premium_tokens += tokens
    else:
        talked.standard_tokens += tokens


def _add_rows(
    person: Person,
    rows: Rows,
    talk: _Conversation,
    opened: datetime,
    last: datetime,
    *,
    is_group: bool,
) -> None:
    names = [part.name for part in talk.parts]
    participants = [{"name": part.name, "series": part.series} for part in talk.parts]
    rows["conversations"].append(
        (
            talk.id,
            person.id,
            "group" if is_group else "single",
            " & ".join(names)[:120].strip(),
            None if is_group else names[0],
            "" if is_group else talk.parts[0].series,
            json.dumps(participants if is_group else []),
            talk.tokens,
            talk.messages,
            talk.seq,
            talk.seq,
            last,
            opened,
            last,
        )
    )
    rows["conversation_stats"].append(
        (talk.id, person.id, names[0], talk.messages, talk.tokens, opened, last)
    )


def _line(chance: Chance, lines: Sequence[str], part: Part, others: Sequence[Part]) -> str:
    """One of the sentences with its slots filled."""
    other = chance.choice([known.name for known in others if known != part] or ["my oldest friend"])
    return chance.choice(lines).format(me=part.name, series=part.series, other=other)
