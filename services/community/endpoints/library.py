"""Scenarios, characters and votes: parameters in, wire models out."""

from __future__ import annotations

from services.community.endpoints.parameters import (
    AfterCursor,
    CurrentCaller,
    Service,
    after_moment,
    next_cursor,
)
from shared.auth.dependencies import CurrentUser
from shared.contract.community import (
    CommunityCharacter,
    CreateCharacter,
    CreateScenario,
    Scenario,
    ScenarioPage,
    ScenarioScope,
    Vote,
    VoteResult,
)
from shared.web.cursors import Limit
from shared.web.endpoints import ServiceRouter

router = ServiceRouter()


@router.endpoint("community.scenario_create")
async def create_scenario(community: Service, user: CurrentUser, body: CreateScenario) -> Scenario:
    return await community.library.create_scenario(user.id, body)


@router.endpoint("community.scenario_list")
async def list_scenarios(
    community: Service,
    user: CurrentUser,
    after: AfterCursor,
    scope: ScenarioScope = "public",
    limit: Limit = 20,
) -> ScenarioPage:
    page = await community.library.scenarios(user.id, scope, after_moment(after), limit)
    return ScenarioPage(
        items=tuple(page.items),
        next_cursor=next_cursor(page.last),
        has_more=page.last is not None,
    )


@router.endpoint("community.vote")
async def vote(community: Service, user: CurrentUser, body: Vote) -> VoteResult:
    return await community.library.vote(user.id, body)


@router.endpoint("community.character_create")
async def create_character(
    community: Service, caller: CurrentCaller, body: CreateCharacter
) -> CommunityCharacter:
    return await community.library.create_character(caller, body)
