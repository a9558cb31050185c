"""Development's own identity provider: a key pair, its JWKS and tokens.

    python -m server.dev.tokens [--user NAME] [--scope SCOPE]… [--role ROLE]… [--account ACCOUNT]… [--hours N]

prints the token alone. Production has a user service for this; nothing here is imported by a role.
"""

import argparse
import fcntl
import json
import os
import secrets
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import KeySet, OKPKey, RSAKey

from server.dev.stack import default_directory

ISSUER = "strikeline-dev"
AUDIENCE = "strikeline"
ALGORITHMS = ("EdDSA", "RS256")
SCOPES = ("read", "trade", "cancel", "modify", "admin")
LIFETIME = timedelta(hours=12)


@dataclass(frozen=True)
class Identity:
    """Keys below one folder, made on first use and kept, so that tokens survive a restart."""

    directory: Path

    @property
    def jwks(self) -> Path:
        """The public keys, as servers read them. Call `ensure` first."""
        return self.directory / "jwks.json"

    @property
    def _private(self) -> Path:
        return self.directory / "private_jwks.json"

    def ensure(self) -> Path:
        """Makes both keys (Ed25519 and RSA) unless they exist. -> path of the JWKS."""
        with self._locked():
            if not (self._private.exists() and self.jwks.exists()):
                keys = KeySet([_ed25519_key(), _rsa_key()])
                _write_secret(self._private, json.dumps(keys.as_dict(private=True)))
                self.jwks.write_text(json.dumps(keys.as_dict(private=False)), encoding="utf-8")
        return self.jwks

    def stream_secret(self) -> str:
        """Key of resume tokens and tickets, 64 characters; the same for every process and every restart."""
        path = self.directory / "stream_secret"
        with self._locked():
            if not path.exists():
                _write_secret(path, secrets.token_hex(32))
            return path.read_text(encoding="utf-8")

    def issue_token(
        self,
        user: str,
        scopes: Sequence[str] = SCOPES,
        *,
        lifetime: timedelta = LIFETIME,
        roles: Sequence[str] = (),
        accounts: Sequence[str] = (),
        algorithm: str = "EdDSA",
    ) -> str:
        """Signs a token for `user`, valid from now. An empty `accounts` allows every account of the user's own.

        A negative lifetime gives an expired token, for tests.
        """
        self.ensure()
        keys = KeySet.import_key_set(json.loads(self._private.read_text(encoding="utf-8")))
        key = next(key for key in keys.keys if key.alg == algorithm)
        claims = _claims(user, scopes, lifetime, roles, accounts)
        header = {"alg": algorithm, "typ": "JWT", "kid": key.kid}
        with warnings.catch_warnings():
            # The new name of the algorithm (Ed25519, RFC 9864) is unknown to most verifiers, Envoy's included.
            warnings.simplefilter("ignore", SecurityWarning)
            return jwt.encode(header, claims, key, algorithms=list(ALGORITHMS))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / "keys.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _ed25519_key() -> OKPKey:
    return OKPKey.generate_key("Ed25519", {"use": "sig", "alg": "EdDSA", "kid": secrets.token_hex(8)}, auto_kid=False)


def _rsa_key() -> RSAKey:
    return RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256", "kid": secrets.token_hex(8)}, auto_kid=False)


def _write_secret(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _claims(
    user: str, scopes: Sequence[str], lifetime: timedelta, roles: Sequence[str], accounts: Sequence[str]
) -> dict[str, object]:
    now = int(time.time())
    claims: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": user,
        "iat": now,
        "nbf": now,
        "exp": now + int(lifetime.total_seconds()),
        "jti": secrets.token_urlsafe(16),
        "scope": " ".join(scopes),
    }
    if roles:
        claims["roles"] = list(roles)
    if accounts:
        claims["accounts"] = list(accounts)
    return claims


def issue_token(
    user: str,
    scopes: Sequence[str] = SCOPES,
    lifetime: timedelta = LIFETIME,
    roles: Sequence[str] = (),
    accounts: Sequence[str] = (),
) -> str:
    """A token signed by the keys of the default folder: see Identity.issue_token."""
    return Identity(default_directory()).issue_token(user, scopes, lifetime=lifetime, roles=roles, accounts=accounts)


def main(arguments: list[str]) -> int:
    """The command line of this module. -> exit status."""
    parser = argparse.ArgumentParser(prog="python -m server token", description="Print a development token.")
    parser.add_argument("--user", default="demo")
    parser.add_argument("--scope", action="append", choices=SCOPES, help="repeat for several; default: all but admin")
    parser.add_argument("--role", action="append", default=[])
    parser.add_argument("--account", action="append", default=[], help="allow these accounts only; repeats")
    parser.add_argument("--hours", type=float, default=LIFETIME.total_seconds() / 3600)
    options = parser.parse_args(arguments)
    scopes = options.scope or [scope for scope in SCOPES if scope != "admin"]
    print(issue_token(options.user, scopes, timedelta(hours=options.hours), options.role, options.account))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
