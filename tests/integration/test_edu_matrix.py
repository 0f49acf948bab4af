"""The application of the guide, over HTTP: what a request changes and announces happens together, or not at all."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from app_integration.example.settings import load
from app_integration.tokens import make_token
from relay.errors import SettingsError
from relay.local.postgres import Postgres
from tests import services
from tests.command import environment
from tests.integration.edu_matrix import ALGEBRA, BIOLOGY, PASSWORD, SECRET, Application, Visitor, counts, rows, told

REGISTERED = [
    ("business-events", "user_registered.v1"),
    ("email-queue", "email.v1"),
    ("analytics-events", "analytics_event.v1"),
    ("audit-logs", "audit_entry.v1"),
]
BOUGHT = [
    ("business-events", "payment_completed.v1"),
    ("business-events", "course_enrolled.v1"),
    ("email-queue", "email.v1"),
    ("notification-queue", "notification.v1"),
    ("analytics-events", "analytics_event.v1"),
    ("audit-logs", "audit_entry.v1"),
]
NOTHING = dict.fromkeys(
    ("charges", "payments", "enrolments", "pending", "payment_completed", "course_enrolled", "notification"), 0
)
ONE = {**dict.fromkeys(NOTHING, 1), "pending": 0}


@pytest.fixture(scope="module")
def edu(postgres: Postgres, migrated: str) -> Iterator[Application]:
    """One for all who do it no harm: each test has visitors of its own."""
    name = services.create_database(postgres, migrated)
    with Application(postgres.url(name)) as running:
        yield running
    services.drop_database(postgres, name)


@pytest.fixture
def own_edu(database: str) -> Iterator[Application]:
    """One for a test that does it harm."""
    with Application(database) as running:
        yield running


@pytest.fixture
def client(edu: Application) -> Iterator[httpx.Client]:
    with edu.client() as opened:
        yield opened


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert {"type", "title", "detail"} <= body.keys()
    return body


def test_registration_and_purchase_tell_what_they_change_in_order(edu: Application, client: httpx.Client) -> None:
    visitor = Visitor(client)
    bought = visitor.buy()
    assert bought.status_code == 201
    assert bought.json()["price"] == {"amount": "49.00", "currency": "EUR"}
    assert told(edu.database_url, visitor.id) == REGISTERED + BOUGHT
    assert counts(edu.database_url, visitor.id) == ONE
    seats = client.get("/api/me", headers=visitor.headers).json()["enrollments"]
    assert [seat["courseId"] for seat in seats] == [ALGEBRA]
    (stored,) = rows(edu.database_url, "select password_hash from edu_matrix.users where email = %s", visitor.email)
    assert stored[0].startswith("$argon2id$")
    assert PASSWORD not in edu.read_log()


def test_a_declined_payment_leaves_neither_half_and_is_answered_the_same_again(
    edu: Application, client: httpx.Client
) -> None:
    visitor = Visitor(client)
    declined = visitor.buy(method="card_declined", key="k")
    assert problem(declined, 402)["type"] == "urn:edu-matrix:problem:payment-declined"
    assert visitor.buy(method="card_declined", key="k").content == declined.content
    assert counts(edu.database_url, visitor.id) == NOTHING
    assert told(edu.database_url, visitor.id) == REGISTERED
    assert visitor.buy().status_code == 201


def test_the_same_request_again_has_the_same_answer_and_another_with_its_key_none(
    edu: Application, client: httpx.Client
) -> None:
    visitor, other = Visitor(client), Visitor(client)
    first = visitor.buy(key="k")
    assert visitor.buy(key="k").content == first.content
    assert visitor.buy(key='"k"').content == first.content
    assert problem(visitor.buy(BIOLOGY, key="k"), 422)["type"].endswith("key-reused")
    assert problem(visitor.buy(key="another"), 409)["type"].endswith("already-enrolled")
    assert counts(edu.database_url, visitor.id) == ONE
    assert other.buy(key="k").status_code == 201


@pytest.mark.parametrize("same_key", [True, False])
def test_ten_clicks_at_once_are_one_payment(edu: Application, client: httpx.Client, same_key: bool) -> None:
    visitor, gate = Visitor(client), threading.Barrier(10)

    def click(_: int) -> httpx.Response:
        gate.wait()
        return visitor.buy(key="k" if same_key else None)

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(click, range(10)))
    assert counts(edu.database_url, visitor.id) == ONE
    if same_key:
        assert {answer.content for answer in answers} == {answers[0].content}
    else:
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9


def test_an_address_registers_once_whatever_its_capitals_and_whoever_comes_at_once(
    edu: Application, client: httpx.Client
) -> None:
    gate = threading.Barrier(4)

    def register(email: str) -> httpx.Response:
        gate.wait()
        return client.post("/api/auth/register", json={"email": email, "name": "Ada", "password": PASSWORD})

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(register, ["a@example.com", "A@example.com", "a@EXAMPLE.com", "a@example.com"]))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    for answer in answers:
        if answer.status_code == 409:
            assert problem(answer, 409)["type"].endswith("email-taken")
    (user,) = (answer.json() for answer in answers if answer.status_code == 201)
    assert told(edu.database_url, f'"{user["email"]}"') == [REGISTERED[0], REGISTERED[1], REGISTERED[3]]
    assert told(edu.database_url, user["userId"]) == REGISTERED


def test_an_answer_of_the_provider_that_got_lost_is_one_payment(edu: Application, client: httpx.Client) -> None:
    visitor = Visitor(client)
    lost = visitor.buy(method="card_answer_lost", key="k")
    assert problem(lost, 503)["detail"].endswith("with the same Idempotency-Key")
    assert lost.headers["retry-after"]
    assert counts(edu.database_url, visitor.id) == {**NOTHING, "charges": 1, "pending": 1}
    assert visitor.buy(method="card_answer_lost", key="k").status_code == 201
    assert counts(edu.database_url, visitor.id) == ONE


def test_who_buys_anew_after_a_lost_answer_gets_what_was_paid_for_and_pays_no_second_time(
    edu: Application, client: httpx.Client
) -> None:
    visitor = Visitor(client)
    visitor.buy(method="card_answer_lost", key="k")
    assert problem(visitor.buy(), 409)["type"].endswith("already-enrolled")
    assert counts(edu.database_url, visitor.id) == ONE


def test_a_purchase_that_cannot_be_settled_keeps_no_other_from_it(own_edu: Application) -> None:
    with own_edu.client() as client:
        first, second = Visitor(client), Visitor(client)
        for each in (first, second):
            each.buy(method="card_answer_lost", key="k")
    with psycopg.connect(own_edu.database_url) as session:
        session.execute("update edu_matrix.users set email = 'nobody' where id = %s", (first.id,))
    command = [sys.executable, "-m", "app_integration", "example", "reconcile", "--older", "0"]
    settled = subprocess.run(
        command, env=environment(DATABASE_URL=own_edu.database_url), check=False, capture_output=True, text=True
    )
    assert (settled.returncode, settled.stdout) == (0, "1 settled\n"), settled.stderr
    assert "stays pending" in settled.stderr
    assert counts(own_edu.database_url, first.id) == {**NOTHING, "charges": 1, "pending": 1}
    assert counts(own_edu.database_url, second.id) == ONE


def test_the_longest_name_of_a_course_can_be_bought(client: httpx.Client) -> None:
    teacher, student = Visitor(client, "teacher"), Visitor(client)
    offer = {"name": f"{uuid4().hex:x<200}", "price": {"amount": "9.00", "currency": "EUR"}}
    offered = client.post("/api/courses", json=offer, headers=teacher.headers)
    assert offered.status_code == 201, offered.text
    assert student.buy(offered.json()["courseId"]).status_code == 201


def test_an_address_of_an_international_domain_is_one_in_ascii(client: httpx.Client) -> None:
    name = uuid4().hex[:12]
    body = {"email": f"{name}@Müller.de", "name": "Ada", "password": PASSWORD, "userType": "student"}
    registered = client.post("/api/auth/register", json=body)
    assert (registered.status_code, registered.json()["email"]) == (201, f"{name}@xn--mller-kva.de")
    login = client.post("/api/auth/login", json={"email": body["email"], "password": PASSWORD})
    assert login.status_code == 200
    problem(client.post("/api/auth/login", json={"email": "a\0b@example.com", "password": PASSWORD}), 422)


BAD_USERS: list[tuple[str, dict[str, Any]]] = [
    ("email", {"email": "nobody"}),
    ("email", {"email": "a@example.com\r\nBcc: eve@example.com"}),
    ("name", {"name": "Ada\r\nBcc: eve@example.com"}),
    ("name", {"name": ""}),
    ("name", {"name": "x" * 201}),
    ("name", {"name": "a\0b"}),
    ("password", {"password": "short"}),
    ("userType", {"userType": "admin"}),
    ("admin", {"admin": True}),
]


def test_bad_input_is_a_problem_that_names_the_field_and_repeats_nothing(
    edu: Application, client: httpx.Client
) -> None:
    good = {"email": "bad@example.com", "name": "Ada", "password": PASSWORD}
    for field, change in BAD_USERS:
        refused = problem(client.post("/api/auth/register", json={**good, **change}), 422)
        assert [each["field"] for each in refused["errors"]] == [field]
        assert "eve@" not in str(refused)
        assert "short" not in str(refused)
    problem(client.post("/api/auth/register", content=b"{", headers={"content-type": "application/json"}), 422)
    problem(client.post("/api/auth/register", content=b"\xff", headers={"content-type": "application/json"}), 400)
    problem(client.post("/api/auth/register", json={**good, "name": "x" * 70_000}), 413)
    problem(client.get("/api/nothing"), 404)
    problem(client.put("/api/courses"), 405)
    assert told(edu.database_url, "bad@example.com") == told(edu.database_url, "eve@example.com") == []
    # HTML is a name like any other here; who renders it escapes it.
    named = client.post("/api/auth/register", json={**good, "name": "<b>Ada</b>"})
    assert named.json()["name"] == "<b>Ada</b>"


def test_a_large_body_is_refused_also_where_it_does_not_say_its_size(client: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 4096

    problem(client.post("/api/auth/login", content=chunks(), headers={"content-type": "application/json"}), 413)


def test_who_is_not_logged_in_buys_nothing(edu: Application, client: httpx.Client) -> None:
    visitor = Visitor(client)
    expired = make_token(visitor.id, SECRET, lifetime=timedelta(minutes=-1))
    for token in (None, "x", "x.y.z", expired, make_token(visitor.id, "f" * 40), make_token("no-uuid", SECRET)):
        headers = {"Idempotency-Key": "k"} | ({} if token is None else {"Authorization": f"Bearer {token}"})
        refused = client.post("/api/courses/purchase", json={"courseId": ALGEBRA}, headers=headers)
        problem(refused, 401)
        assert refused.headers["www-authenticate"].startswith("Bearer")
    stranger = {"Authorization": f"Bearer {make_token(str(uuid4()), SECRET)}", "Idempotency-Key": "k"}
    problem(client.post("/api/courses/purchase", json={"courseId": ALGEBRA}, headers=stranger), 401)
    problem(client.post("/api/auth/login", json={"email": visitor.email, "password": "wrong wrong wrong"}), 401)
    problem(client.post("/api/auth/login", json={"email": "no@example.com", "password": "wrong wrong wrong"}), 401)
    assert counts(edu.database_url, visitor.id) == NOTHING


def test_a_purchase_without_a_key_or_of_nothing_is_refused(client: httpx.Client) -> None:
    visitor = Visitor(client)
    body = {"courseId": ALGEBRA}
    problem(client.post("/api/courses/purchase", json=body, headers=visitor.headers), 400)
    problem(visitor.buy(key="k" * 201), 400)
    problem(visitor.buy(str(uuid4())), 404)
    problem(visitor.buy("algebra"), 422)
    problem(visitor.buy(method="card; drop table"), 422)


def test_a_course_has_a_teacher_and_no_negative_or_inexact_price(edu: Application, client: httpx.Client) -> None:
    teacher, student = Visitor(client, "teacher"), Visitor(client)
    offer: dict[str, Any] = {"name": "Zoology", "price": {"amount": "12.50", "currency": "EUR"}}
    for amount in ("-1", 12.5, "12.505", "NaN", "1000000000000000.00"):
        bad = {**offer, "price": {"amount": amount, "currency": "EUR"}}
        problem(client.post("/api/courses", json=bad, headers=teacher.headers), 422)
    problem(client.post("/api/courses", json=offer, headers=student.headers), 403)
    offered = client.post("/api/courses", json=offer, headers=teacher.headers)
    assert offered.status_code == 201
    problem(client.post("/api/courses", json=offer, headers=teacher.headers), 409)
    assert student.buy(offered.json()["courseId"]).json()["price"] == offer["price"]
    assert ("audit-logs", "audit_entry.v1") in told(edu.database_url, offered.json()["courseId"])


def test_a_server_survives_its_database_and_a_bug_and_finishes_what_is_under_way_when_it_stops(
    own_edu: Application,
) -> None:
    edu, visitor = own_edu, Visitor(own_edu.client())
    with psycopg.connect(edu.database_url, autocommit=True) as connection:
        connection.execute("alter table edu_matrix.enrolments rename to elsewhere")
        problem(visitor.buy(), 500)
        connection.execute("alter table edu_matrix.elsewhere rename to enrolments")
        connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name='edu-matrix'")
    assert client_sees_courses(visitor)
    assert "UndefinedTable" in edu.read_log()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(visitor.buy, method="card_slow")
        wait_for(edu.database_url, "select count(*) from edu_matrix.purchases", 2)
        code = edu.stop()
        assert slow.result().status_code == 201
    assert code in {0, -15}
    assert counts(edu.database_url, visitor.id) == ONE


def client_sees_courses(visitor: Visitor) -> bool:
    return visitor.client.get("/api/courses").status_code == 200


def wait_for(url: str, query: str, number: int) -> None:
    """Wait until a query gives at least a number."""
    pause = threading.Event()
    for _ in range(600):
        if rows(url, query)[0][0] >= number:
            return
        pause.wait(0.05)
    raise AssertionError(f"not {number}: {query}")


def test_a_mistake_in_the_settings_names_the_variable_and_shows_no_secret() -> None:
    for variables, said in MISTAKES:
        with pytest.raises(SettingsError) as refused:
            load(variables)
        assert said in str(refused.value)
        assert "geheim" not in str(refused.value)


def test_a_mistake_on_the_command_line_is_one_line() -> None:
    command = [sys.executable, "-m", "app_integration", "example", "serve"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "DATABASE_URL is not set" in done.stderr


URL = "postgresql://u:geheim@localhost/x"
MISTAKES: list[tuple[dict[str, str], str]] = [
    ({}, "DATABASE_URL"),
    ({"DATABASE_URL": "geheim"}, "DATABASE_URL"),
    ({"DATABASE_URL": URL}, "JWT_SECRET"),
    ({"DATABASE_URL": URL, "JWT_SECRET": "geheim"}, "JWT_SECRET"),
    ({"DATABASE_URL": URL, "JWT_SECRET": SECRET, "EDU_MATRIX_PAGE": "yes"}, "EDU_MATRIX_PAGE"),
    ({"DATABASE_URL": URL, "JWT_SECRET": SECRET, "EDU_MATRIX_POOL": "0"}, "EDU_MATRIX_POOL"),
]
