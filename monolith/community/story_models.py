"""JSON of stories (contract, 2.0 and 2.6)."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from monolith.pages import PageQuery
from monolith.values import Identifier, Timestamp, Trimmed, Wire

StoryTitle = Annotated[Trimmed, Field(min_length=1, max_length=200)]
CharacterName = Annotated[Trimmed, Field(min_length=1, max_length=120)]
Cast = Annotated[list[CharacterName], Field(min_length=1, max_length=5)]
Universe = Annotated[Trimmed, Field(max_length=200)]
StoryText = Annotated[Trimmed, Field(min_length=1, max_length=50_000)]
Theme = Annotated[Trimmed, Field(min_length=1, max_length=50)]


class Author(Wire):
    user_id: UUID | None
    name: str | None
    avatar_url: str | None


class StoryScenario(Wire):
    setting: str
    tone: str
    themes: list[str]


class StoryBase(Wire):
    id: UUID
    author: Author
    conversation_id: UUID | None
    title: str
    universe: str
    characters: list[str]
    published: bool
    published_at: Timestamp | None
    view_count: int
    like_count: int
    liked_by_me: bool
    created_at: Timestamp
    updated_at: Timestamp


class Story(StoryBase):
    content: str
    scenario: StoryScenario


class DraftedStory(Story):
    remaining_quota: int


class StoryItem(StoryBase):
    excerpt: str


class StoryPage(Wire):
    items: list[StoryItem]
    next_cursor: str | None
    has_more: bool


class LikeOut(Wire):
    story_id: UUID
    liked: bool
    like_count: int


class ScenarioIn(Wire):
    setting: Annotated[Trimmed, Field(max_length=500)] | None = None
    tone: Annotated[Trimmed, Field(max_length=100)] | None = None
    themes: Annotated[list[Theme], Field(max_length=5)] | None = None

    def stored(self) -> dict[str, object]:
        return {
            "setting": self.setting or "",
            "tone": self.tone or "",
            "themes": list(self.themes or ()),
        }


class DraftIn(Wire):
    characters: Cast
    universe: Universe | None = None
    scenario: ScenarioIn | None = None
    title: StoryTitle | None = None
    conversation_id: Identifier | None = None
    content: StoryText | None = None


class StoryUpdateIn(Wire):
    """Omitted = unchanged, so what was sent is told apart by model_fields_set."""

    title: StoryTitle = "-"
    content: StoryText = "-"
    universe: Universe = ""
    characters: Cast = Field(default_factory=list)
    scenario: ScenarioIn = Field(default_factory=ScenarioIn)


class LikeIn(Wire):
    liked: bool | None = None


class StoryQuery(PageQuery):
    sort: Literal["new", "top"] = "new"
    mine: bool = False
