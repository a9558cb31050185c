"""Settings are read from the environment; what cannot be is refused by name."""

import pytest

from gateway.settings import GatewaySettings
from server.rpc.limits import TIERS as RATES
from server.settings import TIERS, SettingError, Settings, load


def test_an_empty_environment_gives_the_defaults():
    assert (load(Settings, {}), load(GatewaySettings, {})) == (Settings(), GatewaySettings())


def test_values_are_read_as_what_they_are():
    settings = load(
        Settings,
        {
            "STRIKELINE_POOL_SIZE": "7",
            "STRIKELINE_POOL_ACQUIRE_TIMEOUT": "2",
            "STRIKELINE_REFLECTION": "true",
            "STRIKELINE_RISK_FREE_RATE": "-0.01",
            "STRIKELINE_LOG_LEVEL": "debug",
            "STRIKELINE_MARKET_DATA_SOURCE": "kite",
        },
    )

    assert (settings.pool_size, settings.pool_acquire_timeout, settings.reflection) == (7, 2.0, True)
    assert (settings.risk_free_rate, settings.log_level, settings.market_data_source) == (-0.01, "debug", "kite")


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("POOL_ACQUIRE_TIMEOUT", "nan", "must be a finite number, was nan"),
        ("POOL_ACQUIRE_TIMEOUT", "inf", "must be a finite number, was inf"),
        ("POOL_ACQUIRE_TIMEOUT", "0", "must be above 0, was 0.0"),
        ("POOL_ACQUIRE_TIMEOUT", "soon", "must be of type float, was 'soon'"),
        ("RISK_FREE_RATE", "inf", "must be a finite number, was inf"),
        ("RISK_FREE_RATE", "6.5", "must be from -1.0 to 1.0, was 6.5"),
        ("DIVIDEND_YIELD", "nan", "must be a finite number, was nan"),
        ("MARKET_DATA_RATE", "-3", "must be above 0, was -3.0"),
        ("POOL_SIZE", "0", "must be at least 1, was 0"),
        ("POOL_SIZE", "2.5", "must be of type int, was '2.5'"),
        ("METRICS_PORT", "70000", "must be from 0 to 65535, was 70000"),
        ("GRPC_ADDRESS", "50051", "must be HOST:PORT, was '50051'"),
        ("ENVIRONMENT", "prod", "must be one of development, staging, production, was 'prod'"),
        ("QUOTA_TIER", "gold", "must be one of free, premium, enterprise, internal, benchmark, was 'gold'"),
        ("TICKER_FOLLOW", "some", "must be one of all, subscribed, was 'some'"),
        ("MARKET_DATA_SOURCE", "tape", "must be one of nothing, kite, files, was 'tape'"),
        ("LOG_LEVEL", "LOUD", "must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL, was 'LOUD'"),
        ("REFLECTION", "yes", "must be true or false, was 'yes'"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(name: str, text: str, complaint: str):
    with pytest.raises(SettingError) as refused:
        load(Settings, {f"STRIKELINE_{name}": text})

    assert str(refused.value) == f"STRIKELINE_{name} {complaint}"


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("LEASE_RENEWAL", "LEASE_DURATION"),
        ("COMMIT_INTERVAL", "CHECKPOINT_INTERVAL"),
        ("MARKET_DATA_TIMEOUT", "BACKFILL_LEASE"),
    ],
)
def test_durations_that_contradict_each_other_are_refused(low: str, high: str):
    with pytest.raises(SettingError) as refused:
        load(Settings, {f"STRIKELINE_{low}": "9", f"STRIKELINE_{high}": "0.5"})

    assert str(refused.value) == f"STRIKELINE_{low} (9.0) must be below STRIKELINE_{high} (0.5)"


@pytest.mark.parametrize("text", ["nan", "inf", "-1"])
def test_the_gateway_keeps_the_same_rules(text: str):
    with pytest.raises(SettingError, match="STRIKELINE_SEND_TIMEOUT"):
        load(GatewaySettings, {"STRIKELINE_SEND_TIMEOUT": text})


def test_the_tiers_of_settings_are_those_of_the_quotas():
    assert tuple(RATES) == TIERS
