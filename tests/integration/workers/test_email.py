"""Mails reach a real SMTP server once, whatever it does; only a lost answer costs a repeat, under the same name."""

import json
import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from app_integration.workers import Backoff, Worker
from app_integration.workers.mail.worker import worker as email_worker
from app_integration.workers.settings import SmtpSettings
from tests.integration.workers.conftest import Connection, Produce, Run, rows, wait_until, way
from tests.integration.workers.smtp import PASSWORD, USER, MailServer, Post


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def server(post: Post) -> Iterator[MailServer]:
    with MailServer(post) as running:
        yield running


def worker(server: MailServer, topic: str, **more: Any) -> tuple[Worker, Any]:
    given = {"host": "127.0.0.1", "port": server.port, "security": "none", "sender": "Edu <mail@edu.example>", **more}
    made, beside = email_worker(SmtpSettings.model_validate(given), Backoff(0.05, 0.05, 4))
    return replace(made, topics=(topic,)), beside


def running(run: Run, made: tuple[Worker, Any]) -> AbstractContextManager[None]:
    worker, beside = made
    return run(worker, beside=beside)


def queue(produce: Produce, topic: str, *, type: str | None = "email.v1", **changed: Any) -> str:
    mail = {"to": "ada@example.com", "subject": "Welcome!", "template": "welcome", "data": {"name": "Ada"}, **changed}
    return produce(topic, json.dumps(mail).encode(), key="k", ce_type=type)


def handled(session: Connection, *ids: str) -> bool:
    return all(way(session, one)[0][1] == "handled" if way(session, one) else False for one in ids)


def dead(session: Connection, one: str) -> str | None:
    found = way(session, one)
    return found[0][3] if found and found[0][1] == "dead" else None


def test_mails_are_sent_once_over_one_conversation_and_say_which_message_they_are_of(
    topic: str, session: Connection, produce: Produce, run: Run, post: Post, server: MailServer
) -> None:
    ids = [queue(produce, topic, to=f"user{n}@example.com") for n in range(5)]
    produce(topic, b"again", key="k", id=ids[0])
    last = queue(produce, topic, template="course_access", data={"courseName": "<b>Algebra</b>"})
    with running(run, worker(server, topic)):
        wait_until(lambda: handled(session, last))
    assert post.ids == [f"<{one}@edu.example>" for one in [*ids, last]]
    assert [mail["X-Rcpt"] for mail in post.mails[:5]] == [f"user{n}@example.com" for n in range(5)]
    assert post.conversations == 1
    html = post.mails[-1].get_body(("html",))
    assert html is not None
    assert "&lt;b&gt;Algebra" in html.get_content()


def test_what_the_server_refuses_for_good_is_dead_at_once_and_for_now_is_tried_again(
    topic: str, session: Connection, produce: Produce, run: Run, post: Post, server: MailServer
) -> None:
    post.recipients.append("550 5.1.1 no such user")
    unknown = queue(produce, topic, to="nobody@example.com")
    with running(run, worker(server, topic)):
        wait_until(lambda: dead(session, unknown))
        post.recipients.append("450 4.2.0 greylisted")
        post.contents.append("554 5.7.1 that is spam")
        spam = queue(produce, topic)
        wait_until(lambda: dead(session, spam))
    assert dead(session, unknown) == "the mail server refuses the recipient: 550 5.1.1 no such user"
    assert way(session, unknown)[0][2] == 1
    assert dead(session, spam) == "the mail server refuses the content: 554 5.7.1 that is spam"
    assert way(session, spam)[0][2] == 2
    assert post.mails == []


def test_an_outage_of_the_server_counts_no_attempt_and_kills_nothing(
    topic: str, session: Connection, produce: Produce, run: Run, post: Post, server: MailServer
) -> None:
    server.stop()
    ids = [queue(produce, topic) for _ in range(3)]
    made, beside = worker(server, topic)
    with run(replace(made, backoff=Backoff(0.05, 0.05, 1)), beside=beside):
        wait_until(lambda: rows(session, "select 1 from pg_stat_activity where application_name = 'worker email'"))
        server.start()
        post.recipients.extend(["421 4.3.2 going down"])
        wait_until(lambda: handled(session, *ids))
    assert post.ids == [f"<{one}@edu.example>" for one in ids]
    assert {way(session, one)[0][2] for one in ids} == {1}


def test_a_lost_answer_is_the_one_repeat_and_it_has_the_same_name(
    topic: str, session: Connection, produce: Produce, run: Run, post: Post, server: MailServer
) -> None:
    post.drop = 1
    lost, other = queue(produce, topic), queue(produce, topic)
    with running(run, worker(server, topic)):
        wait_until(lambda: handled(session, lost, other))
    assert sorted(post.ids) == sorted([f"<{lost}@edu.example>"] * 2 + [f"<{other}@edu.example>"])
    assert way(session, lost)[0][1:3] == ("handled", 2)
    # So does an answer that comes too late.
    post.late = 4.0
    late = queue(produce, topic)
    with running(run, worker(server, topic, timeout=1.0)):
        wait_until(lambda: handled(session, late))
    assert set(post.ids[3:]) == {f"<{late}@edu.example>"}


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")  # it is from the first byte
@pytest.mark.parametrize("implicit", [True, False], ids=["tls", "starttls"])
def test_mail_goes_encrypted_and_logged_in(
    topic: str, session: Connection, produce: Produce, run: Run, post: Post, tmp_path: Path, implicit: bool
) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    secure = {"security": "tls" if implicit else "starttls", "ca_file": str(trusted), "username": USER, "timeout": 2.0}
    with MailServer(post, tls=context, implicit=implicit, login=True) as server:
        one = queue(produce, topic)
        # A wrong password is an outage: it kills no mail.
        with running(run, worker(server, topic, **secure, password="wrong")):
            wait_until(lambda: post.conversations >= 2)
        assert way(session, one) == []
        with running(run, worker(server, topic, **secure, password=PASSWORD)):
            wait_until(lambda: handled(session, one))
    assert post.ids == [f"<{one}@edu.example>"]


def test_what_is_no_mail_is_dead_with_the_reason_and_nothing_of_it_is_sent(
    topic: str, session: Connection, produce: Produce, run: Run, post: Post, server: MailServer
) -> None:
    bad = {
        produce(topic, b'{"to": ', ce_type="email.v1"): "malformed",
        produce(topic, None, ce_type="email.v1"): "malformed",
        produce(topic, b"\xff\xfe", ce_type="email.v1"): "malformed",
        queue(produce, topic, type=None): "unknown-type",
        queue(produce, topic, type="email.v99"): "future-version",
        queue(produce, topic, type="notification.v1"): "unknown-type",
        queue(produce, topic, data={}): "misses something in data",
        queue(produce, topic, template="nothing"): "there is no template",
        queue(produce, topic, to="not an address"): "invalid",
        queue(produce, topic, subject="x\r\nBcc: evil@example.com"): "invalid",
    }
    with running(run, worker(server, topic)):
        wait_until(lambda: all(dead(session, one) for one in bad))
    for one, reason in bad.items():
        assert reason in (dead(session, one) or "")
    assert post.mails == []
