"""Why a strategy or a leg cannot be had or changed."""

from __future__ import annotations

from server.domain.errors import Aborted, FailedPrecondition, NotFound


def no_strategy(strategy: str) -> NotFound:
    """No such strategy, or not the caller's."""
    return NotFound(f"no strategy {strategy}", metadata={"resource": "strategy", "id": strategy})


def no_leg(leg: str) -> NotFound:
    """No such leg in the strategy."""
    return NotFound(f"no leg {leg}", metadata={"resource": "leg", "id": leg})


def not_active(strategy: str, status: str) -> FailedPrecondition:
    """The strategy takes no changes in this status."""
    return FailedPrecondition(
        f"the strategy is {status.lower()}",
        reason="STRATEGY_NOT_ACTIVE",
        metadata={"strategy": strategy, "state": status},
    )


def default_strategy(what: str) -> FailedPrecondition:
    """`what` the default strategy does not allow."""
    return FailedPrecondition(f"the default strategy {what}", metadata={"resource": "strategy", "state": "DEFAULT"})


def strategy_full(limit: int) -> FailedPrecondition:
    """No leg more."""
    return FailedPrecondition(
        f"a strategy has at most {limit} legs", metadata={"resource": "strategy", "state": "FULL"}
    )


def leg_closed(leg: str) -> FailedPrecondition:
    """What is closed stays as it is."""
    return FailedPrecondition(f"leg {leg} is closed", metadata={"resource": "leg", "state": "CLOSED"})


def no_exit_price(instruments: str) -> FailedPrecondition:
    """Open legs in these instruments have no price to be closed at."""
    return FailedPrecondition(
        f"no exit price for {instruments}", reason="PRICE_UNAVAILABLE", metadata={"instruments": instruments}
    )


def changed_meanwhile(etag: str) -> Aborted:
    """The given etag is not the present one, `etag`."""
    return Aborted("it was changed meanwhile: read it again", metadata={"etag": etag})
