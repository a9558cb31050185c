"""The suite that client teams use, run against the system of this tree."""

from server.contract.testing.suite import *  # noqa: F403
