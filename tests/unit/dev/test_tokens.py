"""Development tokens: what they claim, and that keys outlive the process."""

import json
import stat
from datetime import timedelta

import pytest
from joserfc import jwt
from joserfc.errors import ExpiredTokenError
from joserfc.jwk import KeySet

from server.dev import tokens
from server.dev.tokens import Identity


def decoded(identity: Identity, token: str):
    keys = KeySet.import_key_set(json.loads(identity.jwks.read_text()))
    return jwt.decode(token, keys, algorithms=list(tokens.ALGORITHMS))


@pytest.mark.parametrize("algorithm", tokens.ALGORITHMS)
def test_claims(tmp_path, algorithm):
    identity = Identity(tmp_path)
    token = decoded(identity, identity.issue_token("ann", ["read", "trade"], algorithm=algorithm))
    claims = token.claims
    assert token.header["alg"] == algorithm
    assert {name: claims[name] for name in ("iss", "aud", "sub", "scope")} == {
        "iss": "strikeline-dev",
        "aud": "strikeline",
        "sub": "ann",
        "scope": "read trade",
    }
    assert claims["exp"] - claims["iat"] == 12 * 3600
    assert claims["nbf"] == claims["iat"]
    assert len(claims["jti"]) >= 16
    assert not {"roles", "accounts"} & set(claims)


def test_roles_accounts_and_expired_tokens(tmp_path):
    identity = Identity(tmp_path)
    claims = decoded(identity, identity.issue_token("ann", roles=["admin"], accounts=["a", "b"])).claims
    assert (claims["roles"], claims["accounts"]) == (["admin"], ["a", "b"])
    expired = decoded(identity, identity.issue_token("ann", lifetime=timedelta(minutes=-5)))
    with pytest.raises(ExpiredTokenError):
        jwt.JWTClaimsRegistry().validate(expired.claims)


def test_keys_and_secret_are_kept_and_private(tmp_path):
    identity = Identity(tmp_path)
    public, secret = identity.ensure().read_text(), identity.stream_secret()
    assert (Identity(tmp_path).ensure().read_text(), Identity(tmp_path).stream_secret()) == (public, secret)
    assert len(secret) == 64
    assert all("d" not in key for key in json.loads(public)["keys"])
    assert stat.S_IMODE((tmp_path / "private_jwks.json").stat().st_mode) == 0o600


def test_command_prints_the_token_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STRIKELINE_DEVSTACK_DIR", str(tmp_path))
    assert tokens.main(["--user", "bob", "--scope", "read", "--scope", "cancel", "--hours", "1"]) == 0
    claims = decoded(Identity(tmp_path), capsys.readouterr().out.strip()).claims
    assert (claims["sub"], claims["scope"], claims["exp"] - claims["iat"]) == ("bob", "read cancel", 3600)
