"""The roles and commands: `python -m server api|worker|feed|migrate|token|account|dead-letters|dev`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import gc
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from server.settings import SettingError, Settings, load

DEVELOPMENT = "development"
MIGRATION_URL = "MIGRATION_DATABASE_URL"
INTERRUPTED = 130
"""Exit status of a command that Ctrl-C cut off, as shells count: 128 and the signal's number."""

ROLE_DATABASES = ("STRIKELINE_DATABASE_URL", "STRIKELINE_WORKER_DATABASE_URL", MIGRATION_URL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command that is named. -> exit status: 2 for wrong settings or arguments, 1 for a failure.

    `INTERRUPTED` when Ctrl-C cut it off.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["token"]:
        # Its options are development's own.
        from server.dev.tokens import main as token

        return token(given[1:])
    options = parser().parse_args(given)
    try:
        return int(options.run(options))
    except SettingError as error:
        print(error, *_hint(), sep="\n", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # a role that has begun ends in order; whatever else is cut off was not done
        print("interrupted before it was done", file=sys.stderr)
        return INTERRUPTED


def _hint() -> Sequence[str]:
    """What a newcomer lacks who has set nothing."""
    told = any(name in _environment() for name in ("STRIKELINE_ENVIRONMENT", *ROLE_DATABASES))
    return () if told else ("No development system runs from this folder: `make run` starts one.",)


def parser() -> argparse.ArgumentParser:
    """The command line of all commands."""
    result = argparse.ArgumentParser(prog="python -m server", description=__doc__)
    commands = result.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("api", help="serve gRPC").set_defaults(run=run_api)
    commands.add_parser("worker", help="make bars, option chains and mark-to-market").set_defaults(run=run_worker)
    _add_feed(commands.add_parser("feed", help="send market data"))
    migrate = commands.add_parser("migrate", help="bring the database's schema up to date")
    migrate.add_argument("--down", metavar="REVISION", help="take revisions back to this one instead, such as 0005")
    migrate.set_defaults(run=run_migrate)
    commands.add_parser("token", help="print a development token", add_help=False)
    _add_dead_letters(commands.add_parser("dead-letters", help="show the messages that could not be read"))
    _add_account(commands.add_parser("account", help="manage accounts"))
    _add_dev(commands.add_parser("dev", help="run the whole system on this machine"))
    return result


def _add_feed(feed: argparse.ArgumentParser) -> None:
    kinds = feed.add_subparsers(required=True, metavar="KIND", dest="kind")
    synthetic = kinds.add_parser("synthetic", help="a virtual day, round the clock")
    synthetic.add_argument("--speed", type=finite_speed, default=1.0, help="virtual seconds a second")
    synthetic.add_argument("--seed", type=int, default=1, help="the same seed gives the same day")
    synthetic.set_defaults(run=run_feed, paths=[])
    replay = kinds.add_parser("replay", help="recorded files")
    replay.add_argument("paths", nargs="+", metavar="FILE[=INSTRUMENT]")
    replay.add_argument("--speed", type=speed, default=1.0, help="recorded seconds a second, or max")
    replay.set_defaults(run=run_feed, seed=1)
    ticker = kinds.add_parser("ticker", help="the channels of a ticker service in Redis")
    ticker.set_defaults(run=run_feed, paths=[], speed=1.0, seed=1)


def _add_dead_letters(letters: argparse.ArgumentParser) -> None:
    letters.add_argument("--count", type=int, default=20, help="how many of the newest to show")
    letters.add_argument("--replay", action="store_true", help="publish those of the ticker feed again instead")
    letters.set_defaults(run=run_dead_letters)


def _add_account(account: argparse.ArgumentParser) -> None:
    actions = account.add_subparsers(required=True, metavar="ACTION")
    create = actions.add_parser("create", help="create an account unless the user has it")
    create.add_argument("--user", required=True)
    create.add_argument("--account", help="its id; without one the server makes it")
    create.add_argument("--name", default="", help="its name for people")
    create.set_defaults(run=run_account)


def _add_dev(dev: argparse.ArgumentParser) -> None:
    feeds = ("synthetic", "replay", "ticker", "none")
    dev.add_argument("--feed", choices=feeds, default="synthetic", help="default: synthetic, a virtual day")
    dev.add_argument(
        "--path", action="append", default=[], metavar="FILE[=INSTRUMENT]", help="recorded file to replay; repeats"
    )
    dev.add_argument("--speed", metavar="N", help="times real time, or max for a replay")
    dev.add_argument("--api", type=int, default=1, metavar="N", help="api processes behind Envoy (default: 1)")
    dev.set_defaults(run=run_development)


def speed(text: str) -> float | None:
    """A number of seconds a second; None for `max`."""
    return None if text == "max" else finite_speed(text)


def finite_speed(text: str) -> float:
    """A number of seconds a second, above 0."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"speed must be above 0, was {text}")
    return number


def run_api(_: argparse.Namespace) -> int:
    """The api role."""
    from server.app.api import ApiApp

    settings = _settings()

    async def serve(stop: asyncio.Event) -> None:
        async with ApiApp(settings) as app:
            settle_memory()
            logging.getLogger("strikeline").info("api listens on port %d", app.port)
            await stop.wait()

    return _run(settings, serve)


def run_worker(_: argparse.Namespace) -> int:
    """The worker role."""
    from server.app.worker import WorkerApp

    settings = _settings()

    async def work(stop: asyncio.Event) -> None:
        async with WorkerApp(settings):
            settle_memory()
            logging.getLogger("strikeline").info("worker runs")
            await stop.wait()

    return _run(settings, work)


def run_feed(options: argparse.Namespace) -> int:
    """The feed role. A finished replay prints what it sent."""
    from server.app.feed import FeedApp
    from server.market.feeds.run import FeedConfig
    from server.market.feeds.synthetic.runner import SyntheticPlan

    settings = _settings()
    config = FeedConfig(
        kind=options.kind,
        paths=tuple(options.paths),
        speed=options.speed,
        plan=SyntheticPlan(seed=options.seed, speed=options.speed or 1.0),
    )

    async def feed(stop: asyncio.Event) -> None:
        summary = None
        running = asyncio.create_task(FeedApp(settings, config).run())
        async with _cancelled_by(stop, running):
            summary = await running
        if summary is not None:
            print(summary.describe())

    return _run(settings, feed)


def run_migrate(options: argparse.Namespace) -> int:
    """Brings the schema to the newest revision, or down to an older one. Prints where it is then."""
    from server.store import migrate

    url = _environment().get(MIGRATION_URL)
    if not url:
        raise SettingError(f"{MIGRATION_URL} is missing: PostgreSQL as the owner of the schema")
    if options.down:
        migrate.downgrade(url, options.down)
    else:
        migrate.upgrade(url)
    print(json.dumps({"revision": migrate.current(url)}))
    return 0


def run_account(options: argparse.Namespace) -> int:
    """Creates an account. Prints its id alone."""
    from server.app.accounts import create_account

    settings = _settings()

    async def create(_: asyncio.Event) -> None:
        print(await create_account(settings, options.user, options.account, options.name))

    return _run(settings, create)


def run_dead_letters(options: argparse.Namespace) -> int:
    """Shows dead letters, or has them read once more. Prints a line for each."""
    from server.app.dead_letters import replay, show

    settings = _settings()

    async def look(_: asyncio.Event) -> None:
        lines = await (replay(settings) if options.replay else show(settings, options.count))
        print(*lines, sep="\n")

    return _run(settings, look)


def run_development(options: argparse.Namespace) -> int:
    """The whole system on one machine."""
    from server.dev.command import run_dev

    return asyncio.run(run_dev(options))


def _environment() -> Mapping[str, str]:
    """The variables. Where they name neither a deployment nor a role's database, development's own complete them."""
    kind = os.environ.get("STRIKELINE_ENVIRONMENT", DEVELOPMENT)
    if kind != DEVELOPMENT or any(name in os.environ for name in ROLE_DATABASES):
        return os.environ
    from server.dev.environment import completed

    return completed(os.environ)


def settle_memory() -> None:
    """Tells the garbage collector that what exists now stays, and to look less often: calls leave no cycles behind."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _settings() -> Settings:
    """The settings; development makes what it lacks of keys."""
    settings = load(Settings, _environment())
    if settings.environment != DEVELOPMENT or (settings.jwks and settings.stream_secret):
        return settings
    from server.dev.stack import default_directory
    from server.dev.tokens import Identity

    identity = Identity(default_directory())
    return dataclasses.replace(
        settings,
        jwks=settings.jwks or str(identity.ensure()),
        stream_secret=settings.stream_secret or identity.stream_secret(),
    )


def _run(settings: Settings, role: Callable[[asyncio.Event], Awaitable[None]]) -> int:
    """Runs a role until it ends or a signal says so. -> exit status."""
    import uvloop

    from server.domain.errors import StrikelineError
    from server.observability.logs import configure_logging

    configure_logging(settings.log_level)

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await role(stop)

    try:
        uvloop.run(run())
    except (StrikelineError, OSError, ValueError) as error:
        if isinstance(error, SettingError):
            raise
        logging.getLogger("strikeline").critical("cannot run: %s", error)
        return 1
    return 0


@contextlib.asynccontextmanager
async def _cancelled_by(stop: asyncio.Event, task: asyncio.Task[object]) -> AsyncIterator[None]:
    """Cancels the task when the event is set; that is then no error."""
    waiter = asyncio.create_task(stop.wait())
    waiter.add_done_callback(lambda done: None if done.cancelled() else task.cancel())
    try:
        yield
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
    finally:
        waiter.cancel()


if __name__ == "__main__":
    sys.exit(main())
