"""The domains that this app still answers for: delete a folder and its line here, and it is gone."""

from __future__ import annotations

from monolith.analytics import DOMAIN as ANALYTICS
from monolith.auth import DOMAIN as AUTH
from monolith.chat import DOMAIN as CHAT
from monolith.community import DOMAIN as COMMUNITY
from monolith.content import DOMAIN as CONTENT
from monolith.domain import Domain
from monolith.media import DOMAIN as MEDIA
from monolith.payments import DOMAIN as PAYMENTS

DOMAINS: tuple[Domain, ...] = (AUTH, CHAT, PAYMENTS, CONTENT, MEDIA, COMMUNITY, ANALYTICS)
