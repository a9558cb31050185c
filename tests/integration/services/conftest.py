"""The running api."""

from tests.support.api import api, api_settings, feed, instruments, keys

__all__ = ["api", "api_settings", "feed", "instruments", "keys"]
