"""Writes `docs/reference/` from the code: every setting, method, quota and error reason.

python -m server.dev.reference [--check]
"""

import argparse
import ast
import dataclasses
import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path

from gateway.comments import read_comments, summary
from gateway.settings import GatewaySettings
from server.contract.errors import load_catalogue
from server.contract.methods import Method, load_contract
from server.rpc.limits import TIERS
from server.settings import Settings

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"
MADE = "Made from the code by `make generate`; do not edit."
COMMAND_VARIABLES = (
    ("`MIGRATION_DATABASE_URL`", "", "PostgreSQL of the schema's owner, for `migrate`."),
    ("`DATABASE_URL`", "embedded", "Development and tests: PostgreSQL of a superuser."),
    ("`REDIS_URL`", "embedded", "Development and tests: Redis."),
    ("`STRIKELINE_DEVSTACK_DIR`", "`.devstack`", "Development: folder of the embedded databases, keys and logs."),
    ("`STRIKELINE_ENVOY_PORT`", "`8080`", "`make run`: the public port."),
    ("`STRIKELINE_GATEWAY_PORT`", "`8081`", "`make run`: the gateway's own port."),
    ("`STRIKELINE_GRPC_PORT`", "`50051`", "`make run`: the first api process's own port."),
    ("`STRIKELINE_SHARED_DATA`", "`../shared/data`", "Tests: folder of recorded market data."),
)
"""Variables that only commands of a developer read."""


def settings_page() -> str:
    """Every environment variable, its default and meaning."""
    parts = ["# Settings", MADE, "Each is an environment variable, read once at start."]
    parts += ["## Roles (`server/settings.py`)", _settings_table(Settings)]
    parts += ["## Gateway (`gateway/settings.py`)", _settings_table(GatewaySettings)]
    parts += ["## Commands", _table(("variable", "default", "meaning"), COMMAND_VARIABLES)]
    return "\n\n".join(parts) + "\n"


def api_page() -> str:
    """Every method with its way in and its promise, the quotas, and every reason of an error."""
    parts = ["# Methods, limits and errors", MADE]
    comments = read_comments(resources.files("generated").joinpath("descriptors_with_comments.binpb").read_bytes())
    contract = load_contract()
    for service in contract.services:
        methods = [method for method in contract if method.service == service]
        parts += [f"## {service.rpartition('.')[2]}", comments.get(service, ""), _methods_table(methods, comments)]
    parts += ["## Limits", "Calls a minute, and how many may come at once, of one user and account.", _limits_table()]
    parts += ["## Errors", "`reason` of the ErrorInfo in `google.rpc.Status`.", _errors_table()]
    return "\n\n".join(part for part in parts if part) + "\n"


def _settings_table(kind: type) -> str:
    documented = _field_docstrings(kind)
    rows = [
        (
            f"`STRIKELINE_{field.name.upper()}`",
            f"`{field.default}`" if field.default != "" else "",
            documented[field.name],
        )
        for field in dataclasses.fields(kind)
    ]
    return _table(("variable", "default", "meaning"), rows)


def _field_docstrings(kind: type) -> dict[str, str]:
    """The string below each field. Raises KeyError later for a field that has none."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            found[field.target.id] = " ".join(str(ast.literal_eval(below.value)).split())
    return found


def _methods_table(methods: Sequence[Method], comments: Mapping[str, str]) -> str:
    rows = [
        (
            f"`{method.name}`" + (" (stream)" if method.server_streaming else ""),
            "<br>".join(f"`{rule.verb} {rule.path}`" for rule in method.http),
            method.policy.scope.lower(),
            method.policy.rate_class.lower(),
            f"{method.policy.deadline:g} s" if method.policy.deadline else "",
            summary(comments[method.full_name]),
        )
        for method in methods
    ]
    return _table(("method", "HTTP", "scope", "limit", "deadline", "what it does"), rows)


def _limits_table() -> str:
    classes = next(iter(TIERS.values()))
    rows = [
        (tier, *(f"{rates[name].per_minute:,} / {rates[name].burst:,}" for name in classes))
        for tier, rates in TIERS.items()
    ]
    return _table(("tier", *(name.lower() for name in classes)), rows)


def _errors_table() -> str:
    rows = [
        (
            f"`{reason.name}`",
            reason.code.name,
            str(reason.http_status),
            "yes" if reason.retryable else "",
            reason.description,
        )
        for reason in load_catalogue()
    ]
    return _table(("reason", "gRPC", "HTTP", "try again", "meaning"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def pages() -> Iterator[tuple[Path, str]]:
    """Path and content of each page."""
    yield FOLDER / "settings.md", settings_page()
    yield FOLDER / "api.md", api_page()


def stale() -> list[Path]:
    """The pages that differ from what the code says."""
    return [path for path, text in pages() if not path.exists() or path.read_text(encoding="utf-8") != text]


def main(arguments: Sequence[str]) -> int:
    """Writes the pages, or with --check says which are stale. -> exit status."""
    parser = argparse.ArgumentParser(prog="python -m server.dev.reference", description="Write docs/reference/.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail when a page is stale")
    if parser.parse_args(arguments).check:
        wrong = stale()
        for path in wrong:
            print(f"{path} is stale: run `make generate`", file=sys.stderr)
        return int(bool(wrong))
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in pages():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
