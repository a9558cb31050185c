"""The version of the program."""

VERSION = "0.1.0"
"""The same as in pyproject.toml, which a test makes sure of."""
