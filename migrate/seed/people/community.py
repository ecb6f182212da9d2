"""Stories, rooms, scenarios, own characters, votes and notifications of a circle; pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from migrate.seed.people import words
from migrate.seed.people.chance import Chance
from migrate.seed.people.chats import Talked
from migrate.seed.people.circle import Circle, Part, Person
from migrate.seed.people.rows import Rows
from shared.contract.norm import norm

STORIES_PER_PERSON, PUBLISHED_SHARE = 0.7, 0.75
ROOM_SHARE, SCENARIO_SHARE, CHARACTER_SHARE = 0.04, 0.08, 0.05
LIKES_PER_STORY, MEMBERS_PER_ROOM, LINES_PER_ROOM, VOTES_PER_TARGET = 6.0, 9.0, 25.0, 4.0


class Crowd:
    """Adds what people of one circle make for each other."""

    def __init__(self, circle: Circle, rows: Rows, talked: Mapping[UUID, Talked]) -> None:
        self._circle = circle
        self._rows = rows
        self._talked = talked
        self.stories: Counter[UUID] = Counter()  # published ones by author
        self.first_story: dict[UUID, datetime] = {}
        self.first_room: dict[UUID, datetime] = {}
        self.published_at: list[datetime] = []

    def add_all(self) -> None:
        for person in self._circle.people:
            chance = self._circle.chance("community", person.number)
            for _ in range(chance.about(STORIES_PER_PERSON * person.diligence)):
                self._story(person, chance)
            if chance.happens(ROOM_SHARE * person.diligence):
                self._room(person, chance)
            if chance.happens(SCENARIO_SHARE * person.diligence):
                self._scenario(person, chance)
            if chance.happens(CHARACTER_SHARE * person.diligence):
                self._character(person, chance)

    def _story(self, person: Person, chance: Chance) -> None:
        id_, at = chance.uuid(), chance.moment(person.created_at, self._circle.until)
        part, slots = _slots(person, chance)
        content = "\n\n".join(
            chance.choice(lines).format(**slots)
            for lines in (words.STORY_OPENINGS, words.STORY_MIDDLES, words.STORY_ENDINGS)
        )
        scenario = {
            "setting": chance.choice(words.SETTINGS),
            "tone": chance.choice(words.TONES),
            "themes": chance.some(words.THEMES, 2),
        }
        published_at = at + timedelta(hours=1) if chance.happens(PUBLISHED_SHARE) else None
        is_published = published_at is not None and published_at < self._circle.until
        likes = self._likes(person, id_, published_at, chance) if is_published else 0
        conversation = chance.choice(self._talked[person.id].conversations)
        self._rows["stories"].append(
            (
                id_,
                person.id,
                conversation if chance.happens(0.3) else None,
                chance.choice(words.STORY_TITLES).format(**slots),
                content,
                part.series,
                json.dumps([part.name]),
                json.dumps(scenario),
                is_published,
                published_at if is_published else None,
                likes * chance.randint(2, 9),
                likes,
                at,
                published_at if is_published else at,
            )
        )
        if is_published and published_at is not None:
            self.stories[person.id] += 1
            self.published_at.append(published_at)
            earliest = self.first_story.get(person.id, published_at)
            self.first_story[person.id] = min(earliest, published_at)
            self._votes("story", id_, published_at, chance)

    def _likes(
        self, author: Person, story: UUID, published_at: datetime | None, chance: Chance
    ) -> int:
        if published_at is None:
            return 0
        fans = [p for p in self._some(chance, LIKES_PER_STORY) if p.id != author.id]
        for fan in fans:
            at = chance.moment(max(published_at, fan.created_at), self._circle.until)
            self._rows["story_likes"].append((story, fan.id, at, at))
            read_at = at if chance.happens(0.6) else None
            data = json.dumps({"story_id": str(story)})
            key = f"like:{story}:{fan.id}"
            self._notify(
                author, "story_like", f"{fan.name} likes your story", data, key, read_at, at
            )
        return len(fans)

    def _room(self, person: Person, chance: Chance) -> None:
        id_ = chance.uuid()
        at = chance.moment(person.created_at, self._circle.until - timedelta(hours=2))
        part, slots = _slots(person, chance)
        guests = [p for p in self._some(chance, MEMBERS_PER_ROOM) if p.id != person.id]
        members = [(person, at)]
        members += [
            (guest, chance.moment(max(at, guest.created_at), self._circle.until))
            for guest in guests
        ]
        for place, (member, joined) in enumerate(members):
            role = "member" if place else "owner"
            self._rows["room_members"].append((id_, member.id, role, joined, joined))
        lines = 0
        for lines, moment in enumerate(
            sorted(
                chance.moment(at, self._circle.until) for _ in range(chance.about(LINES_PER_ROOM))
            ),
            start=1,
        ):
            author = chance.choice([member for member, joined in members if joined <= moment])
            text = chance.choice(words.ROOM_LINES).format(**slots)
            row = (chance.uuid(), id_, lines, author.id, text, moment, moment)
            self._rows["room_messages"].append(row)
        is_public = chance.happens(0.6)
        name = chance.choice(words.ROOM_NAMES).format(**slots)[:80].strip()
        self._rows["fandom_rooms"].append(
            (id_, person.id, name, f"For everybody who loves {part.series}.", part.series, is_public,
             max(50, len(members)), chance.code(), len(members), lines, at, at)
        )  # fmt: skip
        earliest = self.first_room.get(person.id, at)
        self.first_room[person.id] = min(earliest, at)
        if is_public:
            self._votes("room", id_, at, chance)

    def _scenario(self, person: Person, chance: Chance) -> None:
        id_, at = chance.uuid(), chance.moment(person.created_at, self._circle.until)
        part, slots = _slots(person, chance)
        is_public = chance.happens(0.7)
        views = chance.about(40) if is_public else 0
        title = chance.choice(words.SCENARIO_TITLES).format(**slots)[:200]
        self._rows["scenarios"].append(
            (id_, person.id, title, f"What would {part.name} do?", json.dumps([part.name]),
             chance.choice(words.SETTINGS), chance.choice(words.TONES), is_public, views, views // 5,
             at, at)
        )  # fmt: skip
        if is_public:
            self._votes("scenario", id_, at, chance)

    def _character(self, person: Person, chance: Chance) -> None:
        id_, at = chance.uuid(), chance.moment(person.created_at, self._circle.until)
        part, _ = _slots(person, chance)
        name = f"{chance.choice(words.OWN_CHARACTERS)} {chance.choice(words.FIRST_NAMES)}"
        text = f"Lives in the world of {part.series}, next door to {part.name}."
        is_published = chance.happens(0.7)
        personality = chance.choice(words.PERSONALITIES)
        self._rows["community_characters"].append(
            (id_, person.id, name, part.series, text, personality, is_published, at, at)
        )
        if is_published:
            self._rows["characters"].append(
                (id_, name, norm(name), part.series, text, "community", person.id, at, at)
            )
            self._votes("character", id_, at, chance)

    def _votes(self, kind: str, target: UUID, since: datetime, chance: Chance) -> None:
        for voter in self._some(chance, VOTES_PER_TARGET):
            at = chance.moment(max(since, voter.created_at), self._circle.until)
            value = 1 if chance.happens(0.8) else -1
            self._rows["community_votes"].append((kind, target, voter.id, value, at, at))

    def _notify(
        self,
        person: Person,
        kind: str,
        title: str,
        data: str,
        key: str,
        read_at: datetime | None,
        at: datetime,
    ) -> None:
        id_ = self._circle.chance("notification", key).uuid()
        self._rows["notifications"].append(
            (id_, person.id, kind, title, "", data, key, read_at, at, at)
        )

    def _some(self, chance: Chance, mean: float) -> list[Person]:
        return chance.some(self._circle.people, chance.about(mean))


def _slots(person: Person, chance: Chance) -> tuple[Part, dict[str, str]]:
    """A favourite of the person and the words that fill the sentences."""
    part = chance.choice(person.favourites)
    others = [known.name for known in person.favourites if known.name != part.name]
    other = chance.choice(others or ["a stranger"])
    return part, {"me": part.name, "series": part.series, "other": other}
