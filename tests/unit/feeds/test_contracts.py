"""Contracts and expiries as files and feeds describe them."""

from datetime import date
from decimal import Decimal

import pytest

from server.domain.calendar import DatedRow
from server.market.feeds.contracts import ContractBook, ContractRules
from server.market.feeds.expiries import ExpiryRules
from server.market.feeds.lots import lot_size
from tests.support.feeds import make_calendar

HOLIDAYS = [date(2023, 6, 29), date(2025, 12, 25), date(2026, 4, 14), date(2026, 11, 24)]


@pytest.fixture
def expiries() -> ExpiryRules:
    return ExpiryRules(make_calendar(*(DatedRow(day, "holiday", None, None, "") for day in HOLIDAYS)))


@pytest.fixture
def rules(expiries: ExpiryRules) -> ContractRules:
    return ContractRules(expiries)


@pytest.mark.parametrize(
    ("underlying", "year", "month", "expiry"),
    [
        ("NIFTY", 2019, 7, "2019-07-25"),
        ("NIFTY", 2023, 6, "2023-06-28"),
        ("NIFTY", 2024, 11, "2024-11-28"),
        ("BANKNIFTY", 2024, 7, "2024-07-31"),
        ("NIFTY", 2025, 8, "2025-08-28"),
        ("NIFTY", 2025, 9, "2025-09-30"),
        ("BANKNIFTY", 2026, 8, "2026-08-25"),
        ("RELIANCE", 2026, 11, "2026-11-23"),
    ],
)
def test_the_monthly_expiry_follows_the_rule_of_its_time(
    expiries: ExpiryRules, underlying: str, year: int, month: int, expiry: str
) -> None:
    assert str(expiries.monthly(underlying, year, month)) == expiry


@pytest.mark.parametrize(
    ("expiry", "monthly"),
    [
        ("2019-07-25", True),
        ("2019-08-01", False),
        ("2023-06-29", True),
        ("2025-12-24", True),
        ("2025-12-30", True),
        ("2026-04-13", False),
        ("2026-05-19", False),
        ("2026-06-25", True),
    ],
)
def test_a_monthly_expiry_is_known_by_any_rule_of_its_underlying(
    expiries: ExpiryRules, expiry: str, monthly: bool
) -> None:
    assert expiries.is_monthly("NIFTY", date.fromisoformat(expiry)) is monthly


def test_weekly_expiries_move_to_the_day_before_a_holiday(expiries: ExpiryRules) -> None:
    found = expiries.weekly("NIFTY", date(2026, 4, 7), 3)

    assert found == [date(2026, 4, 7), date(2026, 4, 13), date(2026, 4, 21)]


def test_no_contract_expires_on_a_national_holiday_of_a_year_without_calendar(expiries: ExpiryRules) -> None:
    assert expiries.monthly("NIFTY", 2027, 1) == date(2027, 1, 25)
    assert expiries.weekly("NIFTY", date(2027, 1, 20), 2) == [date(2027, 1, 25), date(2027, 2, 2)]
    assert expiries.is_monthly("NIFTY", date(2027, 1, 25))


def test_the_near_month_is_the_next_one_after_its_expiry(expiries: ExpiryRules) -> None:
    assert expiries.near_month("RELIANCE", date(2026, 11, 24)) == date(2026, 12, 29)


def test_observed_expiries_are_those_of_the_rules(expiries: ExpiryRules) -> None:
    observed = ["2026-08-18", "2026-08-25", "2026-09-01", "2026-09-08", "2026-09-15"]

    assert [str(day) for day in expiries.weekly("NIFTY", date(2026, 8, 18), 5)] == observed


@pytest.mark.parametrize(
    ("key", "kind", "underlying"),
    [
        ("NSE:NIFTY50", "INDEX", "NIFTY"),
        ("NSE:RELIANCE", "EQUITY", None),
        ("NFO:NIFTY26APRFUT", "FUTURE", "NIFTY"),
        ("NFO:NIFTY2641323600PE", "PUT", "NIFTY"),
        ("BFO:SENSEX26JAN80000CE", "CALL", "SENSEX"),
    ],
)
def test_a_key_tells_what_the_instrument_is(rules: ContractRules, key: str, kind: str, underlying: str | None) -> None:
    contract = rules.of_key(key)

    assert (contract.kind, contract.underlying) == (kind, underlying)


def test_a_derivative_key_that_cannot_be_read_is_an_error(rules: ContractRules) -> None:
    with pytest.raises(ValueError, match="NIFTY"):
        rules.of_key("NFO:NIFTY")


def test_contracts_are_spelled_as_the_broker_does(rules: ContractRules) -> None:
    monthly = rules.derivative("NIFTY 50", date(2026, 4, 28), Decimal("23600.00"), "CE", date(2026, 4, 13))
    weekly = rules.derivative("NIFTY", date(2026, 4, 13), Decimal(23600), "PE")
    future = rules.derivative("SENSEX", date(2026, 4, 30), None, "FUT")

    assert (monthly.key, monthly.lot_size, monthly.segment) == ("NFO:NIFTY26APR23600CE", 65, "NFO-OPT")
    assert (weekly.key, weekly.lot_size) == ("NFO:NIFTY2641323600PE", 1)
    assert (future.key, future.segment) == ("BFO:SENSEX26APRFUT", "BFO-FUT")


def test_a_bare_symbol_is_a_derivative_or_a_stock(rules: ContractRules) -> None:
    assert rules.of_symbol("NIFTY23JUN17000CE").key == "NFO:NIFTY23JUN17000CE"
    assert rules.of_symbol("INFY").key == "NSE:INFY"


@pytest.mark.parametrize(("symbol", "by_rule"), [("NIFTY26DEC26000CE", True), ("NIFTY25D0226000CE", False)])
def test_a_symbol_that_names_a_month_has_its_expiry_by_rule(rules: ContractRules, symbol: str, by_rule: bool) -> None:
    assert rules.of_symbol(symbol).expiry_by_rule is by_rule


def test_an_underlying_is_its_index_or_stock(rules: ContractRules) -> None:
    assert rules.underlying("BANKNIFTY").key == "NSE:NIFTY BANK"
    assert (rules.underlying("TCS").key, rules.underlying("TCS").segment) == ("NSE:TCS", "NSE")


def test_a_book_numbers_contracts_by_first_appearance(rules: ContractRules) -> None:
    book = ContractBook()

    numbers = [book.number(rules.underlying(name)) for name in ("TCS", "NIFTY", "TCS")]

    assert numbers == [0, 1, 0]


@pytest.mark.parametrize(
    ("underlying", "day", "lot"),
    [
        ("NIFTY", "2019-07-18", 75),
        ("NIFTY", "2022-03-24", 50),
        ("BANKNIFTY", "2025-07-16", 35),
        ("NIFTY", "2026-04-13", 65),
        ("NIFTY", "2020-12-01", None),
        ("UNKNOWN", "2026-04-13", None),
    ],
)
def test_lot_sizes_are_dated(underlying: str, day: str, lot: int | None) -> None:
    assert lot_size(underlying, date.fromisoformat(day)) == lot
