"""Which columns the generators fill, in an order in which every row finds what it refers to; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType

Row = tuple[object, ...]
Rows = dict[str, list[Row]]

#: Columns by table, in the order of loading.
COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        table: tuple(columns.split())
        for table, columns in {
            "users": "id email password_hash confirmed referral_code onboarding_status"
            " last_login_at created_at updated_at",
            "user_profiles": "user_id name country language birth_year preferences created_at"
            " updated_at",
            "auth_identities": "provider external_id user_id created_at",
            "referrals": "id referrer_id referee_id status created_at confirmed_at",
            "billing_customers": "provider customer_id user_id created_at",
            "subscriptions": "id user_id provider provider_subscription_id price_id tier status"
            " current_period_end resumes_at cancel_at_period_end version provider_updated_at"
            " created_at updated_at",
            "payment_transactions": "id user_id provider provider_ref kind amount currency"
            " occurred_at created_at",
            "user_quotas": "user_id quota_type period_start used bonus tokens_used",
            "quota_grants": "source_type source_id user_id quota_type amount created_at",
            "conversations": "id user_id conversation_type title character_name character_series"
            " participants token_count message_count last_seq completed_seq last_message_at"
            " created_at updated_at",
            "messages": "id conversation_id seq role sender content model tokens pinned created_at"
            " updated_at",
            "message_reactions": "message_id user_id reaction_type created_at updated_at",
            "stories": "id user_id conversation_id title content universe characters scenario"
            " published published_at view_count like_count created_at updated_at",
            "story_likes": "story_id user_id created_at updated_at",
            "fandom_rooms": "id creator_id name description universe is_public max_members"
            " join_code member_count last_seq created_at updated_at",
            "room_members": "room_id user_id role joined_at updated_at",
            "room_messages": "id room_id seq user_id content created_at updated_at",
            "scenarios": "id creator_id title description characters setting tone is_public"
            " view_count use_count created_at updated_at",
            "community_characters": "id creator_id name universe description personality published"
            " created_at updated_at",
            "characters": "id name name_norm series description source creator_id created_at"
            " updated_at",
            "community_votes": "target_type target_id user_id value created_at updated_at",
            "notifications": "id user_id kind title body data dedupe_key read_at created_at"
            " updated_at",
            "user_analytics": "user_id message_count conversation_count story_count tokens_used xp",
            "user_daily_activity": "user_id day messages tokens",
            "conversation_stats": "conversation_id user_id character_name message_count token_count"
            " first_message_at last_message_at",
            "user_streaks": "user_id current_days longest_days last_check_in",
            "user_achievements": "user_id code unlocked_at",
        }.items()
    }
)


def no_rows() -> Rows:
    """An empty collection."""
    return defaultdict(list)
