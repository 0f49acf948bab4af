"""Deliveries are signed as Standard Webhooks has it: its own vector, and its own library as the judge."""

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from app_integration.workers.integrations.signature import headers, key_of, new_secret

# The vector of the reference implementations (standard-webhooks/libraries).
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_official_vector() -> None:
    assert headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [SECRET]) == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@given(st.uuids(), st.dictionaries(st.text(), st.text(), max_size=3))
def test_the_reference_library_takes_what_was_signed_and_nothing_that_was_changed(
    identity: object, document: dict[str, str]
) -> None:
    secret, body = new_secret(), json.dumps(document)
    signed = headers(str(identity), int(datetime.now(UTC).timestamp()), body.encode(), [secret])
    assert Webhook(secret).verify(body, signed) == document
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body + " ", signed)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(body, signed)


def test_of_two_secrets_that_overlap_a_subscriber_with_either_is_served() -> None:
    old, new, body = new_secret(), new_secret(), '{"test": 1}'
    signed = headers("msg_1", int(datetime.now(UTC).timestamp()), body.encode(), [new, old])
    assert Webhook(old).verify(body, signed) == Webhook(new).verify(body, signed) == {"test": 1}
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(body, signed)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        SECRET.removeprefix("whsec_"),
        "whsec_!!!!",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
    ],
)
def test_a_secret_that_is_none_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match="allowed: whsec_ and 24 to 64 bytes") as caught:
        key_of(secret)
    assert len(secret) < 10 or secret not in str(caught.value)
