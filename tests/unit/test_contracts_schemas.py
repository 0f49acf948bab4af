"""Types, versions and their schemas: what is checked in is what the code says, and no version breaks its consumers."""

import copy
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from app_integration.contracts import (
    PLANS,
    CourseEnrolled,
    Identifier,
    KafkaTopic,
    Message,
    Money,
    Registry,
    UnknownType,
    command,
    relay_toml,
    schemas,
    topics,
)
from app_integration.payload import serialise
from app_integration.workers.catalogue import CATALOGUE, find
from relay.configuration.loading import load
from tests.command import REPOSITORY, environment

FOLDER = REPOSITORY / "docs" / "events"
KINDS = command.find(command.PACKAGES)


def test_no_registered_version_breaks_who_was_built_on_it() -> None:
    assert not list(command.breaking(FOLDER, KINDS))


def test_what_is_checked_in_is_what_is_generated() -> None:
    wanted = {**command.files(FOLDER, KINDS), command.SETTINGS: relay_toml()}
    assert {path: path.read_text() for path in [*FOLDER.iterdir(), command.SETTINGS]} == wanted


def test_the_relay_takes_the_settings_and_knows_every_topic() -> None:
    settings = load({}, config_file=command.SETTINGS, needs=())
    dead = {f"{topic}.dead" for topic in topics.CONSUMED}
    assert set(settings.topics) == {*KafkaTopic, *dead}
    assert set(KafkaTopic) == set(PLANS)
    assert settings.topics["audit-logs"].config["retention.ms"] == str(90 * 86_400_000)
    assert tomllib.loads(relay_toml())["topics"]["email-queue"]["on_failure"] == "skip"


def test_each_topic_that_a_worker_consumes_has_one_for_its_dead_letters() -> None:
    smtp = {"SMTP_HOST": "mail.example", "SMTP_FROM": "mail@edu.example"}
    consumed = [topic for name in CATALOGUE for topic in find(name)(smtp)[0].topics]
    settings = load({}, config_file=command.SETTINGS, needs=())
    assert sorted(consumed) == sorted(topics.CONSUMED)
    # A letter is the largest message that its topic takes, and its reason besides.
    sizes = {settings.topics[f"{topic}{topics.DEAD}"].config["max.message.bytes"] for topic in consumed}
    assert sizes == {str(2 * 2**20)}


def field(name: str, **change: Any) -> Callable[[Any], None]:
    return lambda schema: schema["properties"].update({name: change})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s["properties"].pop("courseId"), "courseId was removed"),
        (field("courseId", type="integer"), "courseId was"),
        (lambda s: s["required"].append("price"), "price became required"),
        (lambda s: (field("seat", type="string")(s), s["required"].append("seat")), "seat is new and required"),
        (lambda s: s["required"].remove("userId"), "userId is no longer sure to be there"),
        (lambda s: s["$defs"]["Money"]["properties"]["amount"].update(type="number"), "price was"),
        (lambda s: s["$defs"]["Money"]["required"].remove("currency"), "price was"),
        (lambda s: s["properties"]["userId"].update(maxLength=5), "userId was"),
        (lambda s: s.update({"x-topic": "email-queue"}), "the type was"),
        (lambda s: s.update({"x-key": ["courseId"]}), "the type was"),
    ],
)
def test_an_incompatible_change_is_found(change: Callable[[Any], Any], said: str) -> None:
    old = schemas.schema(KINDS["course_enrolled.v1"])
    new = copy.deepcopy(old)
    change(new)
    assert [problem.startswith(said) for problem in schemas.incompatible(old, new)][:1] == [True]


@pytest.mark.parametrize(
    "change",
    [
        field("seat", type="string"),
        lambda s: s["properties"]["userId"].update(description="who", title="User"),
        lambda s: s.update(description="other words"),
        lambda s: s["$defs"]["Money"].update(description="other words"),
    ],
)
def test_an_optional_field_and_other_words_are_compatible(change: Callable[[Any], Any]) -> None:
    old = schemas.schema(KINDS["course_enrolled.v1"])
    new = copy.deepcopy(old)
    change(new)
    assert new != old
    assert schemas.incompatible(old, new) == []


def test_what_is_enqueued_fits_its_schema() -> None:
    body, _ = serialise(CourseEnrolled(user_id="1", course_id="2", price=Money(amount="49", currency="EUR")))  # type: ignore[arg-type]
    validator = jsonschema.Draft202012Validator(schemas.schema(KINDS["course_enrolled.v1"]))
    document = json.loads(body or b"")
    validator.validate(document)
    document["price"]["amount"] = 49.0
    assert not validator.is_valid(document)


MODULE = """
from app_integration.contracts import Identifier, Message, business_event

@business_event("shelf_filled", version=1, key="shelf_id")
class ShelfFilled(Message):
    shelf_id: Identifier
    books: int
"""


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    call = [sys.executable, "-m", "app_integration", "contracts", "--package", "shelves", "--folder", "schemas"]
    path = f"{folder}:{REPOSITORY}"
    return subprocess.run(
        [*call, *arguments],
        cwd=folder,
        env={**environment(), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_application_writes_schemas_of_its_own_events_and_none_that_breaks_them(tmp_path: Path) -> None:
    (tmp_path / "shelves.py").write_text(MODULE)
    assert run(tmp_path, "--write").returncode == 0
    written = tmp_path / "schemas" / "shelf_filled.v1.json"
    written.write_text(written.read_text().replace('"integer"', '"string"'))
    refused = run(tmp_path, "--write")
    assert refused.returncode == 2
    assert "shelf_filled.v1: books was" in refused.stderr
    assert "register a new version" in refused.stderr
    assert '"string"' in written.read_text()


def test_what_is_not_current_or_no_longer_registered_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.compare(command.files(tmp_path, KINDS)) == 1
    assert "user_registered.v1.json is not current; run: python -m app_integration" in capsys.readouterr().err
    command.write(command.files(tmp_path, KINDS))
    assert command.compare(command.files(tmp_path, KINDS)) == 0
    (tmp_path / "gone.v1.json").write_text("{}")
    assert list(command.breaking(tmp_path, KINDS)) == [f"gone.v1: is in {tmp_path}, and no longer registered"]


def test_a_name_belongs_to_one_topic_and_a_version_to_one_model() -> None:
    registry = Registry()

    class Rated(Message):
        user_id: Identifier

    class Scored(Message):
        user_id: Identifier

    registry.business_event("course_rated", version=1)(Rated)
    registry.business_event("course_rated", version=2)(Scored)
    assert registry.newest("course_rated").model is Scored
    assert [str(kind) for kind in registry] == ["course_rated.v1", "course_rated.v2"]
    for name, version, topic, key in [
        ("course_rated", 1, KafkaTopic.BUSINESS_EVENTS, "user_id"),
        ("course_rated", 3, KafkaTopic.AUDIT_LOGS, "user_id"),
        ("CourseRated", 1, KafkaTopic.AUDIT_LOGS, "user_id"),
        ("other", 0, KafkaTopic.AUDIT_LOGS, "user_id"),
        ("other", 1, KafkaTopic.AUDIT_LOGS, "nothing"),
    ]:
        with pytest.raises(ValueError, match=name):
            registry.message_type(name, version=version, topic=topic, key=key)(type("Other", (Rated,), {}))
    with pytest.raises(UnknownType, match="known are course_rated"):
        registry.newest("nothing")
