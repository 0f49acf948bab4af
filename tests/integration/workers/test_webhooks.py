"""Business events reach subscribers signed, each in its own time; none of them reaches what only we can reach."""

import asyncio
import json
import socket
import ssl
import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import httpcore
import pytest
import trustme
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from app_integration.workers.integrations import endpoints
from app_integration.workers.integrations.deliverer import delivering
from app_integration.workers.integrations.posting import DEADLINE, Poster
from app_integration.workers.integrations.worker import worker as integrations
from app_integration.workers.settings import WebhookSettings
from relay.errors import ChoiceError, UserMistake
from tests.integration.workers.conftest import Connection, Produce, Run, rows, wait_until
from tests.integration.workers.subscriber import Subscriber

PUBLIC = "93.184.216.34"
"""An address of somebody else's, which no test calls."""


def beside() -> tuple[Any, ...]:
    return (partial(delivering, webhooks=WebhookSettings(concurrency=8)),)


def registered(produce: Produce, topic: str, user: str = "u1", **more: Any) -> str:
    told = {"userId": user, "email": "ada@example.com", "userType": "student", **more}
    return produce(
        topic, json.dumps(told).encode(), key=user, ce_type="user_registered.v1", ce_time="2026-01-01T00:00:00Z"
    )


def enrolled(produce: Produce, topic: str) -> str:
    told = {"userId": "u1", "courseId": "c1", "enrollmentDate": "2026-01-01T00:00:00Z"}
    return produce(topic, json.dumps(told).encode(), key="u1", ce_type="course_enrolled.v1")


def state(session: Connection, endpoint: int) -> list[tuple[Any, ...]]:
    """Of each delivery: taken, dead, attempts, status, error."""
    return rows(
        session,
        "select delivered_at is not null, dead_at is not null, attempts, status, error from worker.delivery"
        " where endpoint = %(id)s order by seq",
        id=endpoint,
    )


def tried_so_often(session: Connection, endpoint: int, attempts: int) -> bool:
    found = state(session, endpoint)
    return bool(found) and found[0][2] == attempts


def hurry(session: Connection) -> None:
    """Let what waits for another attempt be due now."""
    session.execute(
        "update worker.delivery set due_at = clock_timestamp() where delivered_at is null and dead_at is null"
    )
    session.execute("update worker.endpoint set due_at = clock_timestamp()")


def test_who_subscribed_gets_events_signed_and_a_slow_one_delays_nobody(
    topic: str, session: Connection, produce: Produce, run: Run
) -> None:
    with Subscriber() as quick, Subscriber() as slow:
        slow.go.clear()
        first, secret = endpoints.add(session, quick.url, types=["user_registered"], allow_private=True)
        second, _ = endpoints.add(session, slow.url, allow_private=True)
        ids = [registered(produce, topic, future="field") for _ in range(5)]
        other = enrolled(produce, topic)
        with run(replace(integrations(), topics=(topic,)), beside=beside()):
            wait_until(lambda: len(quick.posts) == 5)
            assert (quick.ids, len(slow.posts)) == (ids, 1)
            assert state(session, first)[0][:4] == (True, False, 1, 204)
            slow.go.set()
            wait_until(lambda: slow.ids == [*ids, other])
        headers, body = quick.posts[0]
        assert Webhook(secret).verify(body.decode(), headers) == {
            "type": "user_registered.v1",
            "timestamp": "2026-01-01T00:00:00+00:00",
            "data": {"userId": "u1", "email": "ada@example.com", "userType": "student", "future": "field"},
        }
        assert len(state(session, second)) == 6


def test_what_is_refused_is_tried_again_and_a_gone_endpoint_disabled_until_an_operator_enables_it(
    topic: str, session: Connection, produce: Produce, run: Run
) -> None:
    with Subscriber() as one, Subscriber() as elsewhere:
        endpoint, _ = endpoints.add(session, one.url, allow_private=True)
        one.answers.extend([(500, {}), (302, {"location": elsewhere.url}), (204, {}), (410, {})])
        with run(replace(integrations(), topics=(topic,)), beside=beside()):
            tried = registered(produce, topic)
            for attempts in (1, 2):
                wait_until(partial(tried_so_often, session, endpoint, attempts))
                hurry(session)
            wait_until(lambda: state(session, endpoint)[0][:4] == (True, False, 3, 204))
            assert (one.ids, elsewhere.posts) == ([tried] * 3, [])
            gone = registered(produce, topic)
            wait_until(lambda: endpoints.endpoints(session)[0].disabled_why == "it answered 410 Gone")
            kept = registered(produce, topic)
            wait_until(lambda: endpoints.endpoints(session)[0].pending == 2)
            hurry(session)
            endpoints.enable(session, endpoint)
            wait_until(lambda: endpoints.endpoints(session)[0].pending == 0)
            assert sorted(one.ids[4:]) == sorted([gone, kept])
            assert endpoints.replay(session, endpoint, ids=[tried], dry_run=True) == 1
            assert endpoints.replay(session, endpoint, ids=[tried]) == 1
            wait_until(lambda: one.ids[-1] == tried and endpoints.endpoints(session)[0].pending == 0)
    for call in (endpoints.enable, partial(endpoints.replay, dead=True)):
        with pytest.raises(ChoiceError, match="there is no endpoint 99"):
            call(session, 99)
    with pytest.raises(ChoiceError, match="enabled already"):
        endpoints.enable(session, endpoint)


def test_while_secrets_overlap_either_fits_and_then_the_new_one_alone(
    topic: str, session: Connection, produce: Produce, run: Run
) -> None:
    with Subscriber() as one:
        endpoint, first = endpoints.add(session, one.url, allow_private=True)
        second = endpoints.rotate(session, endpoint, overlap=3600)
        with run(replace(integrations(), topics=(topic,)), beside=beside()):
            registered(produce, topic)
            wait_until(lambda: len(one.posts) == 1)
            # Leaked: neither of those before is good for another moment.
            third = endpoints.rotate(session, endpoint, overlap=0)
            registered(produce, topic)
            wait_until(lambda: len(one.posts) == 2)
    for secret, taken in ((first, [True, False]), (second, [True, False]), (third, [False, True])):
        assert [fits(secret, headers, body) for headers, body in one.posts] == taken
    with pytest.raises(UserMistake, match="was not changed: the secret is none"):
        endpoints.rotate(session, endpoint, overlap=0, secret="whsec_short")


def fits(secret: str, headers: dict[str, str], body: bytes) -> bool:
    try:
        Webhook(secret).verify(body.decode(), headers)
    except WebhookVerificationError:
        return False
    return True


def test_an_endpoint_in_our_own_network_is_refused_when_it_is_added_and_when_it_is_called(
    topic: str, session: Connection, produce: Produce, run: Run
) -> None:
    with Subscriber() as inside:
        for url in (
            f"https://localhost:{inside.port}/",
            "https://127.0.0.1/",
            "https://169.254.169.254/latest",
            "https://[::1]/",
        ):
            with pytest.raises(UserMistake, match="refused unless allowed"):
                endpoints.add(session, url)
        with pytest.raises(UserMistake, match="begins with http"):
            endpoints.add(session, inside.url)
        # As when a name resolves to another address than on the day when it was added.
        endpoint, _ = endpoints.add(session, f"https://localhost:{inside.port}/", allow_private=True)
        session.execute("update worker.endpoint set allow_private = false")
        registered(produce, topic)
        with run(replace(integrations(), topics=(topic,)), beside=beside()):
            wait_until(lambda: state(session, endpoint) and state(session, endpoint)[0][2] == 1)
        assert "which is loopback" in state(session, endpoint)[0][4]
        assert inside.posts == []


def post(url: str, *, allow_private: bool = True, context: ssl.SSLContext | None = None, deadline: float = 10.0) -> Any:
    async def once() -> Any:
        poster = Poster(context, deadline)
        try:
            return await poster.post(url, {"webhook-id": "x"}, b"{}", allow_private=allow_private)
        finally:
            await poster.close()

    return asyncio.run(once())


def test_a_name_that_resolves_to_another_address_in_the_second_look_is_judged_in_that_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[str] = []
    true = socket.getaddrinfo

    def rebinding(host: Any, *arguments: Any, **named: Any) -> Any:
        if host != "rebind.example":
            return true(host, *arguments, **named)
        looks.append(host)
        address = PUBLIC if len(looks) > 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    answer = post("https://rebind.example/", allow_private=False)
    assert answer.refused
    # Asked once: what was judged is what would have been connected to.
    assert looks == ["rebind.example"]


def test_a_name_that_leads_elsewhere_between_the_judgement_and_the_connection_leads_nobody_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    async def connect(_: Any, host: str, *_arguments: Any, **_named: Any) -> Any:
        # A name, unlike an address, would be looked up again here. Nobody outside is called by a test.
        asked.append(host)
        raise httpcore.ConnectError(f"{host} is not called")

    looks = iter([PUBLIC])

    def once(*_: Any, **_named: Any) -> Any:
        address = next(looks, "127.0.0.1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))]

    monkeypatch.setattr(socket, "getaddrinfo", once)
    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    answer = post("https://rebind.example/", allow_private=False, deadline=2.0)
    # The address that was judged was called, and no name.
    assert asked == [PUBLIC]
    assert not answer.taken


def test_a_certificate_is_checked_against_the_name_although_the_address_is_connected_to() -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with Subscriber(context) as one:
        assert post(one.url, context=trusting).status == 204
        assert "certificate" in (post(one.url).error or "").lower()
        assert "certificate" in (post(one.url.replace("localhost", "127.0.0.1"), context=trusting).error or "").lower()
        assert len(one.posts) == 1


def test_addresses_of_a_host_are_tried_until_one_answers_though_the_first_are_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Subscriber() as one, ExitStack() as closing:
        # A queue of connections that nobody takes is full: Linux drops what more would come, as a firewall does.
        silent = closing.enter_context(socket.create_server(("127.0.0.2", one.port), backlog=0))
        filling = closing.enter_context(socket.socket())
        filling.setblocking(False)
        filling.connect_ex(silent.getsockname())
        addresses = ["127.0.0.2", "127.0.0.1"]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, one.port)) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        began = time.monotonic()
        assert post(f"http://two.example:{one.port}/", deadline=DEADLINE).status == 204
        assert 3 < time.monotonic() - began < 10
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found[:1])
        error = post(f"http://two.example:{one.port}/", deadline=DEADLINE).error
        assert error == "ConnectTimeout: 127.0.0.2 does not answer within 4.0 s"


def test_an_answer_without_end_costs_no_more_than_the_deadline() -> None:
    with Subscriber() as one:
        one.endless = True
        began = time.monotonic()
        assert post(one.url, deadline=1.0).error == "no whole answer within 1 s"
        assert time.monotonic() - began < 5
    assert "ConnectError" in (post("http://127.0.0.1:1/").error or "")
