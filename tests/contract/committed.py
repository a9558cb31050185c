"""The contract as it is committed."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "generated" / "descriptors.binpb"
"""Descriptors of all files, as `make generate` writes them."""
