"""Reading a recorded file: plain or gzip, known by its content, in bounded memory."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

import numpy as np
from numpy.typing import NDArray

from server.market.feeds.replay.report import ReplayReport

_GZIP_MAGIC: Final = b"\x1f\x8b"
_READ_BYTES: Final = 262_144
_LONGEST_LINE: Final = 64 * 1_048_576
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class UnknownFormat(ValueError):
    """A file that cannot be replayed; the text names it and says what was found."""


@dataclass(frozen=True)
class Rows:
    """Rows of a table by column: texts as in the file. `lines` are their line numbers in the file, from 1."""

    columns: Mapping[str, Sequence[bytes]]
    lines: Sequence[int]

    def __len__(self) -> int:
        return len(self.lines)

    def part(self, first: int, last: int) -> Rows:
        """The rows [first, last)."""
        return Rows({name: texts[first:last] for name, texts in self.columns.items()}, self.lines[first:last])


Convert = Callable[[Rows], NDArray[np.void]]
"""Turns rows into records, or raises ValueError when one of them is malformed, having changed nothing."""


def open_source(path: Path) -> BinaryIO:
    """The file's content, decompressed when it is gzip. Raises UnknownFormat when there is no such file."""
    try:
        with path.open("rb") as plain:
            compressed = plain.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
        return cast(BinaryIO, gzip.open(path)) if compressed else path.open("rb")
    except OSError as error:
        raise UnknownFormat(f"{path}: cannot be read: {error.strerror}") from error


def blocks_of_lines(stream: BinaryIO, name: str, report: ReplayReport) -> Iterator[tuple[int, list[bytes]]]:
    """Whole lines in blocks, without their ends, with the number of the first; a damaged end is reported."""
    line, rest = 1, b""
    while True:
        try:
            block = stream.read(_READ_BYTES)
        except (EOFError, OSError, zlib.error) as error:
            report.skip(name, line, f"the file is damaged from here on: {error}")
            block = rest = b""
        *lines, rest = (rest + block).split(b"\n")
        if not block and rest:
            lines.append(rest)
        if len(rest) > _LONGEST_LINE:
            raise UnknownFormat(f"{name}: line {line + len(lines)} is longer than {_LONGEST_LINE} bytes")
        if lines:
            yield line, [text.removesuffix(b"\r") for text in lines]
            line += len(lines)
        if not block:
            return


def header_of(line: bytes) -> tuple[str, ...]:
    """The column names of a CSV header."""
    text = line.removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "replace")
    return tuple(name.strip() for name in next(csv.reader([text]), []))


class Table:
    """A CSV file as records, block by block; a malformed row is reported and skipped, its neighbours stay."""

    def __init__(self, path: Path, report: ReplayReport) -> None:
        self._path = path
        self._name = path.name
        self._report = report

    def records(self, convert: Convert) -> Iterator[NDArray[np.void]]:
        """The records of the file in its order, one array for each block."""
        with open_source(self._path) as stream:
            header: tuple[str, ...] | None = None
            for first, lines in blocks_of_lines(stream, self._name, self._report):
                start = 0
                if header is None:
                    header, start = header_of(lines[0]), 1
                rows = self._rows(header, lines[start:], first + start)
                yield from self._convert(rows, convert)

    def _rows(self, header: Sequence[str], lines: list[bytes], first: int) -> Rows:
        numbers: list[int] = []
        fields: list[list[bytes]] = []
        for number, line in enumerate(lines, first):
            cells = line.split(b",") if b'"' not in line else _quoted(line)
            if len(cells) == len(header):
                numbers.append(number)
                fields.append(cells)
            elif line.strip():
                self._report.skip(self._name, number, f"{len(cells)} columns instead of {len(header)}")
        columns = list(zip(*fields, strict=True)) or [()] * len(header)
        return Rows(dict(zip(header, columns, strict=True)), numbers)

    def _convert(self, rows: Rows, convert: Convert) -> Iterator[NDArray[np.void]]:
        return convert_by_halves(
            len(rows),
            lambda first, last: convert(rows.part(first, last)),
            lambda row, reason: self._report.skip(self._name, rows.lines[row], reason),
        )


def convert_by_halves(
    count: int, convert: Callable[[int, int], NDArray[np.void]], skip: Callable[[int, str], None]
) -> Iterator[NDArray[np.void]]:
    """Converts items [first, last) all at once, and only when that fails in halves, until malformed ones stand alone.

    `convert` raises ValueError, having changed nothing, when one of its items is malformed; `skip` gets that one.
    """
    pending = [(0, count)] if count else []
    while pending:
        first, last = pending.pop()
        try:
            yield convert(first, last)
        except ValueError as error:
            if last - first == 1:
                skip(first, str(error))
                continue
            middle = (first + last) // 2
            pending += [(middle, last), (first, middle)]


def _quoted(line: bytes) -> list[bytes]:
    cells = next(csv.reader(io.StringIO(line.decode("utf-8", "replace"))), [])
    return [cell.encode() for cell in cells]
