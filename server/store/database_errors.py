"""What PostgreSQL refuses, in the caller's terms. No text of the server, no table and no value reaches a caller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

import asyncpg

from server.domain.errors import (
    Aborted,
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    StrikelineError,
    Unavailable,
)

CONNECTION_LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    ConnectionError,
    OSError,
)
"""The server is away or has dropped the connection."""

CONFLICT: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
"""Nothing is wrong with the statement: it met another writer and may be repeated."""

_TAKEN: Final = MappingProxyType(
    {
        "accounts_pkey": ("account", "account", "an account of this name exists"),
        "strategies_display_name_key": (
            "strategy",
            "display_name",
            "the account has another strategy of this display name",
        ),
        "strategies_default_key": ("strategy", "is_default", "the account has its default strategy already"),
        "instruments_key_key": ("instrument", "key", "the instrument exists"),
    }
)
"""By constraint: the resource, the field that is taken, and a text."""
_MISSING: Final = MappingProxyType(
    {
        "strategies_account_fkey": "account",
        "legs_strategy_fkey": "strategy",
        "legs_instrument_id_fkey": "instrument",
        "bars_1m_instrument_id_fkey": "instrument",
        "bars_stored_instrument_id_fkey": "instrument",
        "strategy_m2m_strategy_fkey": "strategy",
        "m2m_candles_strategy_fkey": "strategy",
    }
)
"""By constraint: the resource that went away between being looked up and being referred to."""
_WRONG: Final = MappingProxyType(
    {
        "accounts_account_check": ("account", "must be 1 to 36 letters, digits, '_' or '-'"),
        "accounts_user_id_check": ("user", "must be 1 to 255 characters"),
        "accounts_display_name_check": ("display_name", "must be at most 200 characters"),
        "strategies_display_name_check": ("display_name", "must be 1 to 200 characters"),
        "strategies_description_check": ("description", "must be at most 2000 characters"),
        "strategies_tags_check": ("tags", "must be at most 20"),
        "legs_side_check": ("side", "must be BUY or SELL"),
        "legs_quantity_check": ("quantity", "must be from 1 to 10,000,000 units"),
        "legs_entry_price_check": ("entry_price", "must be from 0 to 999,999,999.9999"),
        "legs_exit_price_check": ("exit_price", "must be from 0 to 999,999,999.9999"),
        "legs_notes_check": ("notes", "must be at most 500 characters"),
        "instruments_tick_size_check": ("tick_size", "must be above 0"),
        "instruments_lot_size_check": ("lot_size", "must be above 0"),
        "instruments_strike_check": ("strike", "must be given for options, and for options only"),
        "instruments_derivative_check": ("expiry", "a derivative must name its underlying and expiry"),
    }
)
RETRY_AFTER: Final = 1.0
"""Seconds after which a caller may try a database that was away."""


@contextmanager
def translated(limit: float) -> Iterator[None]:
    """Turns errors of asyncpg that leave the block into domain errors. Deadlocks pass: `Database.run` repeats them.

    `limit`: seconds that a statement may take.
    """
    try:
        yield
    except CONFLICT:
        raise
    except asyncpg.PostgresError as error:
        raise translate(error, limit) from error
    except TimeoutError as error:
        raise _too_late(limit) from error
    except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise unavailable() from error


def unavailable() -> Unavailable:
    """The error for a database that is away."""
    return Unavailable("the database is away", reason="DATABASE_UNAVAILABLE", retry_after=RETRY_AFTER)


def conflicted() -> Aborted:
    """The error for a transaction that met other writers each time that it was tried."""
    return Aborted("other writers were faster; try again", reason="TRANSACTION_CONFLICT", retry_after=RETRY_AFTER)


def translate(error: asyncpg.PostgresError, limit: float) -> Exception:
    """The domain error for an error of the server; the error itself when it is a mistake of ours."""
    if isinstance(error, CONNECTION_LOST):
        return unavailable()
    if isinstance(error, asyncpg.QueryCanceledError | asyncpg.LockNotAvailableError):
        return _too_late(limit)
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        return _constraint(error)
    if isinstance(error, asyncpg.DataError):
        return InvalidArgument("a value is out of range")
    if isinstance(error, asyncpg.InsufficientPrivilegeError) and "row-level security" in str(error):
        return PermissionDenied("the row belongs to another user", reason="ACCOUNT_FORBIDDEN", metadata={"account": ""})
    return error


def _too_late(limit: float) -> DeadlineExceeded:
    return DeadlineExceeded("the database did not answer in time", metadata={"deadline_ms": f"{limit * 1e3:.0f}"})


def _constraint(error: asyncpg.IntegrityConstraintViolationError) -> StrikelineError:
    name = error.constraint_name or ""
    # A constraint of a hypertable appears under its chunk's prefix, as 12_34_bars_1m_pkey.
    known = name.lstrip("0123456789_") if name[:1].isdigit() else name
    if isinstance(error, asyncpg.UniqueViolationError):
        resource, field, text = _TAKEN.get(known, ("", "", "it exists already"))
        return AlreadyExists(text, metadata={"resource": resource, "field": field})
    if isinstance(error, asyncpg.ForeignKeyViolationError):
        return _reference(error, known)
    if isinstance(error, asyncpg.NotNullViolationError):
        return InvalidArgument.of(error.column_name or "value", "must be given")
    field, description = _WRONG.get(known, ("value", "is out of range"))
    return InvalidArgument.of(field, description)


def _reference(error: asyncpg.ForeignKeyViolationError, name: str) -> StrikelineError:
    if "still referenced" in (error.detail or ""):
        return FailedPrecondition("other data still refers to it", metadata={"resource": "", "state": "REFERENCED"})
    resource = _MISSING.get(name, "")
    text = f"no such {resource}" if resource else "what it refers to does not exist"
    return NotFound(text, metadata={"resource": resource, "id": ""})
