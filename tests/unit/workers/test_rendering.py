"""Mails say what they were given, and whoever gave it cannot make them say anything else."""

import email
import email.policy
import re
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app_integration.contracts import Email, templates
from app_integration.workers import Reject
from app_integration.workers.mail.rendering import Renderer, message_id

SENDER = "Edu Matrix <mail@edu.example>"
RENDERER = Renderer()


def mail(template: str = "welcome", subject: str = "Welcome!", to: str = "ada@example.com", **data: Any) -> Email:
    return Email(to=to, subject=subject, template=template, data=data)


def composed(one: Email, identity: str = "0190-a") -> EmailMessage:
    made = RENDERER.compose(one, sender=SENDER, identity=identity, when=datetime(2026, 1, 31, 12, tzinfo=UTC))
    parsed = email.message_from_bytes(made, policy=email.policy.SMTP)
    assert isinstance(parsed, EmailMessage)
    return parsed


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def test_every_template_that_can_be_asked_for_is_there_and_needs_no_more_than_its_contract_says() -> None:
    assert RENDERER.names == set(templates())
    for name, variables in templates().items():
        RENDERER.render(mail(name, **dict.fromkeys(variables, "x")))
        for left_out in variables:
            with pytest.raises(Reject, match=f"misses something in data.*{left_out}"):
                RENDERER.render(mail(name, **dict.fromkeys(variables - {left_out}, "x")))


def test_a_mail_has_text_and_html_and_says_who_it_is() -> None:
    made = composed(mail(name="Ada"))
    assert (made["To"], made["From"], made["Subject"]) == ("ada@example.com", SENDER, "Welcome!")
    assert (made["Message-ID"], made["Date"]) == ("<0190-a@edu.example>", "Sat, 31 Jan 2026 12:00:00 +0000")
    assert "Welcome, Ada!" in body(made, "plain")
    assert "<h1" in body(made, "html")


def test_html_in_a_name_is_text() -> None:
    made = composed(mail(name="<script>alert(1)</script>\r\nBcc: evil@example.com"))
    assert "<script>" not in body(made, "html")
    assert "&lt;script&gt;" in body(made, "html")
    assert made["Bcc"] is None
    assert len(made.keys()) == len(composed(mail(name="Ada")).keys())


@given(st.text(), st.text())
def test_whatever_fills_a_mail_begins_no_header(name: str, subject: str) -> None:
    # Past the contract's own checks, as if somebody had taken them away.
    one = Email.model_construct(to="ada@example.com", subject=subject, template="welcome", data={"name": name})
    try:
        made = RENDERER.compose(one, sender=SENDER, identity="a", when=datetime(2026, 1, 31, tzinfo=UTC))
    except Reject:
        return
    head = made.partition(b"\r\n\r\n")[0]
    names = re.findall(rb"(?:^|\r\n)([A-Za-z-]+):", head)
    assert sorted(names) == sorted(
        [b"Message-ID", b"Date", b"From", b"To", b"Subject", b"Auto-Submitted", b"MIME-Version", b"Content-Type"]
    )


def test_a_line_break_in_a_subject_is_refused() -> None:
    one = Email.model_construct(
        to="a@example.com", subject="x\r\nBcc: e@example.com", template="welcome", data={"name": "x"}
    )
    with pytest.raises(Reject, match="no mail can be made of it"):
        composed(one)


def test_an_unknown_template_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(Reject, match=r"no template nothing\.html; known are course_access, welcome"):
        RENDERER.render(mail("nothing"))


def test_a_template_reads_no_file_but_its_own() -> None:
    for name in ("../worker", "/etc/passwd", "_page/../../smtp"):
        with pytest.raises(Reject):
            RENDERER.render(Email.model_construct(to="a@example.com", subject="x", template=name, data={}))


@given(st.text(min_size=1, max_size=300))
def test_a_message_id_is_the_same_for_the_same_message_and_can_stand_in_a_header(identity: str) -> None:
    made = message_id(identity, SENDER)
    assert made == message_id(identity, "mail@edu.example")
    assert re.fullmatch(r"<[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*@edu\.example>", made)
    assert made != message_id(identity + "x", SENDER)


def test_templates_of_ones_own_are_taken_in_their_place() -> None:
    own = Renderer(jinja2.DictLoader({"hello.html": "<b>{{ name }}</b>", "hello.txt": "{{ name }}"}))
    assert own.render(mail("hello", name="<A>")) == ("<b>&lt;A&gt;</b>", "<A>")
