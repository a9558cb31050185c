"""SQL as named statements: a `.sql` file beside its repository has a line `-- name: insert` before each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

_FOLDER = Path(__file__).parent
_NAME = re.compile(r"^-- name: (\w+)[ \t]*$", re.MULTILINE)


def name_of(text: str) -> str | None:
    """What a statement of a file is called, as `legs.insert`; None for any other text."""
    return _names().get(text)


@cache
def _names() -> Mapping[str, str]:
    files = sorted(path.stem for path in _FOLDER.glob("*.sql"))
    return MappingProxyType({text: f"{file}.{name}" for file in files for name, text in Statements.of(file).items()})


class Statements(Mapping[str, str]):
    """The statements of one file, by name. Immutable."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = MappingProxyType(dict(texts))

    @classmethod
    def of(cls, name: str) -> Statements:
        """Reads `server/store/{name}.sql`. Raises ValueError for text before the first name and for a repeated name."""
        return cls.parse((_FOLDER / f"{name}.sql").read_text(encoding="utf-8"))

    @classmethod
    def parse(cls, text: str) -> Statements:
        """Splits the text of a file; comment lines before the first name belong to nothing."""
        before, *parts = _NAME.split(text)
        if any(line and not line.startswith("--") for line in before.splitlines()):
            raise ValueError("text before the first '-- name:' line")
        names = parts[::2]
        if len(set(names)) != len(names):
            raise ValueError(f"a statement name is used twice: {sorted(names)}")
        return cls({name: body.strip().rstrip(";") for name, body in zip(names, parts[1::2], strict=True)})

    def __getitem__(self, name: str) -> str:
        return self._texts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)
