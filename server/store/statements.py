"""SQL as named statements: a `.sql` file beside its repository has a line `-- name: insert_leg` before each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (\w+)[ \t]*$", re.MULTILINE)


class Statements(Mapping[str, str]):
    """The statements of one file, by name. Immutable."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = MappingProxyType(dict(texts))

    @classmethod
    def of(cls, name: str) -> Statements:
        """Reads `server/store/{name}.sql`. Raises ValueError for text before the first name and for a repeated name."""
        return cls.parse((Path(__file__).parent / f"{name}.sql").read_text(encoding="utf-8"))

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
