"""A command in a second shell finds the development system that runs, and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from server.__main__ import _settings
from server.dev.environment import FILE, AlreadyRunningError, completed, published, running_system

TOLD = {"STRIKELINE_ENVIRONMENT": "development", "STRIKELINE_DATABASE_URL": "postgresql://strikeline_api@db/app"}


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No variables of ours or of a database, and a folder of this test's own."""
    for name in list(os.environ):
        if name.startswith("STRIKELINE_") or name in {"DATABASE_URL", "REDIS_URL", "MIGRATION_DATABASE_URL"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("STRIKELINE_DEVSTACK_DIR", str(tmp_path))
    return monkeypatch


def test_a_running_system_is_found_and_a_stopped_one_is_not(tmp_path: Path) -> None:
    with published(tmp_path, TOLD, {}):
        assert running_system(tmp_path) == TOLD

    assert running_system(tmp_path) == {}


def test_what_the_user_told_the_system_goes_along_and_what_belongs_to_a_process_does_not(tmp_path: Path) -> None:
    user = {"STRIKELINE_NAMESPACE": "mine", "STRIKELINE_INSTANCE": "x", "STRIKELINE_METRICS_PORT": "1", "HOME": "/"}

    with published(tmp_path, TOLD, user):
        assert running_system(tmp_path) == {**TOLD, "STRIKELINE_NAMESPACE": "mine"}


def test_the_file_of_a_killed_system_is_not_believed(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, signal, sys; from server.dev.environment import published\n"
        "with published(pathlib.Path(sys.argv[1]), {'STRIKELINE_DATABASE_URL': 'gone'}, {}):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)

    assert (tmp_path / FILE).exists()
    assert running_system(tmp_path) == {}


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    with published(tmp_path, TOLD, {}):
        assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_a_second_system_of_the_same_folder_is_refused(tmp_path: Path) -> None:
    with published(tmp_path, TOLD, {}):
        with (
            pytest.raises(AlreadyRunningError, match=r"runs from .* already"),
            published(tmp_path, {"STRIKELINE_DATABASE_URL": "other"}, {}),
        ):
            pass
        assert running_system(tmp_path) == TOLD


def test_a_shorter_environment_replaces_all_of_a_longer_one_that_a_killed_system_left(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("x" * 1000)

    with published(tmp_path, TOLD, {}):
        assert running_system(tmp_path) == TOLD


def test_named_databases_make_a_development_system_of_their_own(tmp_path: Path) -> None:
    with published(tmp_path, TOLD, {}):
        found = completed({
            "STRIKELINE_DEVSTACK_DIR": str(tmp_path), "DATABASE_URL": "postgresql://app@h/d", "REDIS_URL": "redis://r"
        })  # fmt: skip

    assert found["STRIKELINE_ENVIRONMENT"] == "development"
    assert found["STRIKELINE_DATABASE_URL"] == "postgresql://strikeline_api@h/d"
    assert found["STRIKELINE_WORKER_DATABASE_URL"] == "postgresql://strikeline_worker@h/d"
    assert found["MIGRATION_DATABASE_URL"] == "postgresql://app@h/d"
    assert found["STRIKELINE_REDIS_URL"] == "redis://r"


def test_a_role_takes_its_settings_from_the_system_that_runs(tmp_path: Path, clean: pytest.MonkeyPatch) -> None:
    with published(tmp_path, TOLD, {"STRIKELINE_NAMESPACE": "mine", "STRIKELINE_TICK_SHARDS": "4"}):
        settings = _settings()

    assert settings.database_url == TOLD["STRIKELINE_DATABASE_URL"]
    assert (settings.namespace, settings.tick_shards) == ("mine", 4)


def test_variables_win_over_the_system_that_runs(tmp_path: Path, clean: pytest.MonkeyPatch) -> None:
    clean.setenv("STRIKELINE_NAMESPACE", "other")

    with published(tmp_path, TOLD, {"STRIKELINE_NAMESPACE": "mine"}):
        assert _settings().namespace == "other"


@pytest.mark.parametrize("environment", ["production", "staging"])
def test_a_deployment_never_reads_it(tmp_path: Path, clean: pytest.MonkeyPatch, environment: str) -> None:
    clean.setenv("STRIKELINE_ENVIRONMENT", environment)

    with published(tmp_path, TOLD, {}):
        assert _settings().database_url == ""


def test_a_role_with_a_database_of_its_own_never_reads_it(tmp_path: Path, clean: pytest.MonkeyPatch) -> None:
    clean.setenv("STRIKELINE_WORKER_DATABASE_URL", "postgresql://strikeline_worker@elsewhere/app")

    with published(tmp_path, TOLD, {}):
        assert _settings().environment == "production"
