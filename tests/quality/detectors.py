"""The project's own checks of its source, as functions over one parsed file."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
FILE_LINES, FUNCTION_LINES, WINDOW_LINES = 400, 40, 8

MUTABLE_CALLS = {
    "list", "dict", "set", "bytearray", "defaultdict", "deque", "Counter", "OrderedDict", "WeakValueDictionary",
    "WeakKeyDictionary", "WeakSet", "Lock", "RLock", "Event", "Condition", "Semaphore", "Queue", "LifoQueue", "local",
}  # fmt: skip
MUTATORS = {
    "append", "extend", "insert", "remove", "pop", "popitem", "clear", "update", "setdefault", "add", "discard",
    "appendleft", "popleft", "sort", "reverse",
}  # fmt: skip
MUTABLE_LITERALS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
SQL = re.compile(
    r"\s*(SELECT\s.+\sFROM\s|SELECT\s+\w+\(|INSERT\s+INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|WITH\s+\w+\s+AS\s*\(|"
    r"(CREATE|ALTER|DROP|TRUNCATE)\s+(TABLE|INDEX|VIEW|MATERIALIZED|ROLE|DATABASE|EXTENSION|FUNCTION|POLICY)\b)",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Source:
    """One Python file."""

    path: Path
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed file."""
        return ast.parse(self.text)

    def at(self, line: int) -> str:
        """How a finding names its place."""
        return f"{self.path}:{line}"


def sources(*folders: str) -> list[Source]:
    """Every Python file below the folders, with its path relative to the project."""
    paths = (path for folder in folders for path in sorted((PROJECT / folder).rglob("*.py")))
    return [Source(path.relative_to(PROJECT), path.read_text(encoding="utf-8")) for path in paths]


def long_files(source: Source) -> Iterator[str]:
    """Files above the limit."""
    lines = source.text.count("\n")
    if lines > FILE_LINES:
        yield f"{source.path}: {lines} lines, at most {FILE_LINES}: split it by noun"


def long_functions(source: Source) -> Iterator[str]:
    """Functions above the limit, docstring included, decorators not."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            lines = node.end_lineno - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield f"{source.at(node.lineno)}: {node.name} has {lines} lines, at most {FUNCTION_LINES}"


def _targets(node: ast.stmt) -> tuple[list[str], ast.expr | None]:
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)], node.value
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id], node.value
    return [], None


def _called(node: ast.expr) -> str:
    if not isinstance(node, ast.Call):
        return ""
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def _is_empty(value: ast.expr) -> bool:
    return isinstance(value, ast.List | ast.Set | ast.Dict) and not ast.unparse(value).strip("[]{} ")


def _changed_names(tree: ast.Module) -> dict[str, int]:
    """Names whose items are set, deleted or changed by a method, with the line."""
    changed: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            owner: ast.expr = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            owner = node.func.value
        elif isinstance(node, ast.AugAssign):
            owner = node.target
        else:
            continue
        if isinstance(owner, ast.Name):
            changed[owner.id] = node.lineno
    return changed


def module_state(source: Source) -> Iterator[str]:
    """Module-level objects that two servers in one process would share and change.

    A table in capitals that nothing changes is a constant; `global`, empty containers, locks and queues are not.
    """
    changed = _changed_names(source.tree)
    for node in source.tree.body:
        names, value = _targets(node)
        if value is None or names == ["__all__"]:
            continue
        mutable = isinstance(value, MUTABLE_LITERALS) or _called(value) in MUTABLE_CALLS
        constant = all(name.lstrip("_").isupper() and name not in changed for name in names)
        literal = isinstance(value, MUTABLE_LITERALS) and not _is_empty(value)
        if mutable and not (constant and literal):
            yield f"{source.at(node.lineno)}: {', '.join(names)} is module-level mutable state"
    for inner in ast.walk(source.tree):
        if isinstance(inner, ast.Global):
            yield f"{source.at(inner.lineno)}: global {', '.join(inner.names)}"


def _imported(node: ast.AST) -> list[str]:
    """What an import statement names, with dots: modules, and whatever is taken from them."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module or ''}.{alias.name}" for alias in node.names]
    return []


def borrowed_tests(source: Source) -> Iterator[str]:
    """Imports of test modules, or of single tests: what several modules need stands beside the tests."""
    for node in ast.walk(source.tree):
        names = (name for name in _imported(node) if name.startswith("tests."))
        if any(part.startswith("test_") for name in names for part in name.split(".")):
            yield f"{source.at(node.lineno)}: {ast.unparse(node)}: move what is shared into a module beside the tests"


def _docstrings(tree: ast.Module) -> set[int]:
    """Identities of the constants that document something, bare strings after fields included."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def sql_strings(source: Source) -> Iterator[str]:
    """String literals that are SQL statements."""
    documentation = _docstrings(source.tree)
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in documentation:
            continue
        if SQL.match(node.value):
            yield f"{source.at(node.lineno)}: SQL belongs into server/store: {' '.join(node.value.split())[:60]}"


def _code_lines(source: Source) -> list[tuple[int, str]]:
    """Number and text of the lines that carry code: no documentation, comments, imports or lone brackets."""
    skipped: set[int] = set()
    for node in ast.walk(source.tree):
        documentation = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if documentation or isinstance(node, ast.Import | ast.ImportFrom):
            skipped.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = []
    for number, line in enumerate(source.text.splitlines(), start=1):
        code = " ".join(line.split())
        if number not in skipped and re.search(r"\w", code) and not code.startswith(("#", "@")):
            lines.append((number, code))
    return lines


def duplicates(files: Iterable[Source], window: int = WINDOW_LINES) -> list[str]:
    """Places where the same `window` lines of code stand twice, each stretch once."""
    places: dict[tuple[str, ...], list[tuple[Source, int, int]]] = defaultdict(list)
    for source in files:
        lines = _code_lines(source)
        for start in range(len(lines) - window + 1):
            key = tuple(text for _, text in lines[start : start + window])
            places[key].append((source, start, lines[start][0]))
    found, previous = [], set()
    for same in places.values():
        if len(same) < 2:
            continue
        position = {(source.path, start) for source, start, _ in same}
        follows = {(path, start - 1) for path, start in position} & previous
        previous |= position
        if not follows:
            found.append("the same code: " + ", ".join(source.at(line) for source, _, line in same))
    return found


def _used_names(tree: ast.Module) -> Iterator[str]:
    """Names that a module mentions otherwise than by defining them, those in its strings included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.keyword) and node.arg is not None:
            yield node.arg
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"\w+", node.value)


def without_caller(files: Sequence[Source]) -> Iterator[str]:
    """Public classes and functions that none of the files mentions: nobody needs them, or only a test does."""
    used = {name for source in files for name in _used_names(source.tree)}
    for source in files:
        for node in ast.walk(source.tree):
            defines = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            if defines and not node.name.startswith("_") and node.name not in used:
                yield f"{source.at(node.lineno)}: nothing calls {node.name}"
