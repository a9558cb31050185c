"""Arguments `FILE[=INSTRUMENT]` of a replay."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from server.domain.symbols import canonical_instrument

_FUTURE_NAME: Final = re.compile(r"(?P<underlying>[A-Z0-9&-]+)_(?P<month>[A-Z]{3})20(?P<year>\d\d)_FUT(?:[_.]|$)")


@dataclass(frozen=True)
class ReplayPath:
    """A file to replay. `instrument` is the key that the caller gave, for a file that does not name its instrument."""

    path: Path
    instrument: str | None = None

    @classmethod
    def parse(cls, text: str) -> ReplayPath:
        """Reads `FILE` or `FILE=INSTRUMENT`. Raises ValueError when the instrument is no key."""
        name, equals, instrument = text.rpartition("=")
        if not equals or Path(text).exists():
            return cls(Path(text))
        return cls(Path(name), canonical_instrument(instrument))

    @property
    def key(self) -> str:
        """The instrument's key: the caller's, else by the file name.

        `RELIANCE_….csv` is `NSE:RELIANCE`, `NIFTY50_….csv` is `NSE:NIFTY 50`, `NIFTY_APR2026_FUT_….json` is
        `NFO:NIFTY26APRFUT`. Raises ValueError when the name yields no key.
        """
        if self.instrument is not None:
            return self.instrument
        name = self.path.name.upper()
        future = _FUTURE_NAME.match(name)
        if future is not None:
            return f"NFO:{future['underlying']}{future['year']}{future['month']}FUT"
        prefix = re.split(r"[_.]", name, maxsplit=1)[0]
        return canonical_instrument(f"NSE:{prefix}")
