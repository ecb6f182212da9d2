"""Servers of the tests of the split."""

from tests.support.split_servers import split_servers

__all__ = ["split_servers"]
