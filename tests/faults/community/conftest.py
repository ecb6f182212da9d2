"""The settings of the community service, as its integration tests make them."""

from tests.integration.community.conftest import web_settings

__all__ = ["web_settings"]
