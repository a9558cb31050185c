"""The embedded stack: one instance for all who use it, ports that give way, the environment first."""

import shutil
import socket
from dataclasses import replace

import psycopg
import pytest

from server.dev import packages
from server.dev.account import Account, unprivileged
from server.dev.instance import Ports
from server.dev.packages import StackError
from server.dev.stack import Stack, StackUrls, default_directory, main, urls_from_environment_or_stack

INSTANCE = "selftest"


@pytest.fixture(scope="module")
def instance():
    stack = Stack(instance=INSTANCE)
    yield stack
    stack.stop(force=True)
    shutil.rmtree(stack.home, ignore_errors=True)


@pytest.fixture
def home(instance):
    """The instance, which no test leaves running for the next."""
    yield instance
    instance.stop()


def answers(urls: StackUrls) -> bool:
    try:
        with psycopg.connect(urls.database_url, connect_timeout=5) as connection:
            row = connection.execute(
                "SELECT extversion, current_setting('jit') FROM pg_extension WHERE extname = 'timescaledb'"
            )
            return row.fetchone() is not None
    except psycopg.OperationalError:
        return False


@pytest.mark.stack
def test_it_runs_until_its_last_user_leaves(home):
    first, second = Stack(instance=INSTANCE), Stack(instance=INSTANCE)
    urls = first.start()
    assert second.start() == urls == first.start() == home.urls()
    first.stop()
    assert answers(urls)
    second.stop()
    assert not answers(urls)


@pytest.mark.stack
def test_statements_are_counted_and_slow_ones_logged(home):
    urls = home.start()

    with psycopg.connect(urls.database_url, connect_timeout=5) as connection:
        connection.execute("SELECT 'counted'")
        counted = connection.execute("SELECT calls FROM pg_stat_statements WHERE query LIKE 'SELECT $%'").fetchall()
        slow = connection.execute("SHOW log_min_duration_statement").fetchone()

    assert (len(counted) > 0, slow) == (True, ("1s",))


@pytest.mark.stack
def test_a_kept_instance_outlives_its_users(home, capsys):
    assert main(["up", "--instance", INSTANCE]) == 0
    urls = home.urls()
    assert capsys.readouterr().out == f"DATABASE_URL={urls.database_url}\nREDIS_URL={urls.redis_url}\n"
    user = Stack(instance=INSTANCE)
    user.start()
    user.stop()
    assert answers(urls)
    assert main(["down", "--instance", INSTANCE]) == 0
    assert not answers(urls)


@pytest.mark.stack
def test_a_port_that_is_taken_is_replaced(home):
    before = home.start()
    home.stop()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", int(before.database_url.rpartition(":")[2].split("/")[0])))
        other.listen()
        after = home.start()
    assert after.database_url != before.database_url
    assert after.redis_url == before.redis_url
    assert answers(after)
    home.stop()


def test_the_environment_comes_first():
    environment = {"DATABASE_URL": "postgresql://x/y", "REDIS_URL": "redis://z"}
    urls, stop = urls_from_environment_or_stack("test", environment)
    stop()
    assert urls == StackUrls("postgresql://x/y", "redis://z")


@pytest.mark.stack
@pytest.mark.parametrize(("variable", "field"), [("DATABASE_URL", "database_url"), ("REDIS_URL", "redis_url")])
def test_what_the_environment_lacks_comes_from_the_embedded_stack(home, variable, field):
    urls, stop = urls_from_environment_or_stack(INSTANCE, {variable: "given"})
    stop()
    assert urls == replace(home.urls(), **{field: "given"})


def test_an_instance_that_never_ran_has_no_urls(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STRIKELINE_DEVSTACK_DIR", str(tmp_path))
    assert default_directory({"STRIKELINE_DEVSTACK_DIR": str(tmp_path)}) == tmp_path
    assert main(["env"]) == 1
    assert "never started" in capsys.readouterr().err
    Stack(tmp_path).stop()


def test_urls_of_ports():
    urls = StackUrls.of(Ports(1, 2))
    assert urls == StackUrls("postgresql://app@127.0.0.1:1/app", "redis://127.0.0.1:2/0")
    assert replace(urls, redis_url="x").redis_url == "x"


def test_a_machine_without_debians_tools_is_told_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(packages.shutil, "which", lambda *_, **__: None)
    with pytest.raises(StackError, match=r"apt-get.*set DATABASE_URL and REDIS_URL"):
        packages.ensure_programs(tmp_path, print)


def test_the_machines_own_archive_is_used(monkeypatch):
    printed = (
        "'http://mirror.example/debian/dists/bookworm/InRelease' a 0\n"
        "'http://mirror.example/debian-security/dists/bookworm-security/InRelease' b 0\n"
        "'http://other.example/extra/dists/stable/InRelease' c 0\n"
    )
    monkeypatch.setattr(packages, "_run", lambda *_, **__: printed)
    assert packages._mirrors() == ["http://mirror.example/debian"]
    monkeypatch.setattr(packages, "_run", lambda *_, **__: "")
    with pytest.raises(StackError, match="no archive"):
        packages._mirrors()


def test_failures_of_programs_carry_their_output(tmp_path):
    with pytest.raises(StackError, match=r"sh failed: away"):
        packages._run("sh", "-c", "echo away >&2; exit 3")
    with pytest.raises(StackError, match=r"sh failed \(3\): away"):
        Account().run("sh", "-c", "echo away; exit 3", cwd=tmp_path)
    assert Account().run("sh", "-c", "exit 3", cwd=tmp_path, accept_failure=True) == 3


def test_somebody_other_than_root_is_found():
    account = unprivileged(packages.Path("/bin/true"))
    assert account.uid != 0
