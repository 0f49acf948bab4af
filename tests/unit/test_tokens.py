"""Tokens: whose they are is told only of those that are ours and not over."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from app_integration.tokens import InvalidToken, check_token, load_secret, make_token
from relay.errors import SettingsError

SECRET = "s" * 32
NOW = datetime.now(UTC)
CLAIMS = {"sub": "7", "iss": "edu-matrix", "aud": "edu-matrix", "iat": NOW, "exp": NOW + timedelta(days=1)}


def test_a_token_tells_whose_it_is_and_until_when() -> None:
    now = datetime.now(UTC)  # the module's own is of when the tests were collected, which may be long ago
    identity = check_token(make_token("7", SECRET, name="Ada", lifetime=timedelta(minutes=5), now=now), SECRET)
    assert (identity.user_id, identity.name) == ("7", "Ada")
    assert abs(identity.expires_at - now - timedelta(minutes=5)) < timedelta(seconds=1)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        make_token("7", "x" * 32),
        make_token("7", SECRET, now=NOW - timedelta(hours=2)),
        make_token("7", SECRET, now=NOW + timedelta(hours=2)),
        jwt.encode(CLAIMS, "", algorithm="none"),
        jwt.encode(CLAIMS, SECRET * 2, algorithm="HS512"),
        jwt.encode({**CLAIMS, "aud": "other"}, SECRET, algorithm="HS256"),
        jwt.encode({**CLAIMS, "iss": "other"}, SECRET, algorithm="HS256"),
        *(
            jwt.encode({name: value for name, value in CLAIMS.items() if name != missing}, SECRET, algorithm="HS256")
            for missing in CLAIMS
        ),
        jwt.encode({**CLAIMS, "sub": 7}, SECRET, algorithm="HS256"),
    ],
)
def test_a_token_that_is_forged_expired_or_of_somebody_else_is_refused(token: str) -> None:
    with pytest.raises(InvalidToken):
        check_token(token, SECRET)


def test_a_token_with_another_user_put_in_is_refused() -> None:
    head, _, signature = make_token("7", SECRET).split(".")
    _, other, _ = make_token("8", SECRET).split(".")
    with pytest.raises(InvalidToken):
        check_token(f"{head}.{other}.{signature}", SECRET)


def test_the_secret_is_set_or_in_a_file_and_long_enough(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    file.chmod(0o600)
    assert load_secret({"JWT_SECRET": SECRET}) == load_secret({"JWT_SECRET_FILE": str(file)}) == SECRET
    bad: list[dict[str, Any]] = [{}, {"JWT_SECRET": "short"}, {"JWT_SECRET_FILE": str(tmp_path / "none")}]
    for environ in bad:
        with pytest.raises(SettingsError) as refused:
            load_secret(environ)
        assert "JWT_SECRET" in str(refused.value)
        assert "short\n" not in str(refused.value)
