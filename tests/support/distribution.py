"""Which tests one process runs one after the other, when several processes run them."""

from xdist.scheduler import LoadScopeScheduling

WHOLE_SYSTEMS = (
    "tests/e2e/",
    "tests/streaming/test_transports.py",
    "tests/streaming/test_option_transports.py",
    "tests/streaming/test_signal_transports.py",
)
"""Modules whose tests start a whole system: more processes than a machine has cores, so never two at once."""


class Groups(LoadScopeScheduling):
    """The tests of a module stay together, and those that start whole systems."""

    def _split_scope(self, nodeid: str) -> str:
        return "whole systems" if nodeid.startswith(WHOLE_SYSTEMS) else nodeid.partition("::")[0]
