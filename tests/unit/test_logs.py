"""A record is one line, with the consequence for people and the facts for programs, and never a secret."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import events
from relay.blame import Fault
from relay.configuration.loading import load
from relay.hold import Failure, Hold, Scope
from relay.message import Row
from relay.telemetry import logs
from relay.telemetry.lines import HOT, line_of, name_of
from relay.telemetry.secrets import secrets_of

HOSTILE = "x\nERROR forged\r\x1b[2J\u2028\u202e%s {} \udc80"
ROW: Row = (
    3,
    77,
    "0199-id",
    HOSTILE,
    HOSTILE,
    None,
    b"secret payload",
    None,
    None,
    '"2026-01-01T00:00:00+00:00"',
    False,
    1,
)
REFUSED = Failure(Fault.MESSAGE, "MSG_SIZE_TOO_LARGE", HOSTILE)
DEAD = Hold(ROW, Scope.KEY, REFUSED, 10, None)

EXAMPLES: dict[type, tuple[Any, ...]] = {
    events.Started: ("a", "db/shop", 16, lambda: 0),
    events.LeasesChanged: (frozenset({1}), frozenset(), frozenset({1})),
    events.BrokerSilent: (Failure(Fault.BROKER, "_TRANSPORT", HOSTILE), 10, 1),
    events.BrokerBack: (3,),
    events.MessageFailed: (DEAD,),
    events.TopicAway: (Hold(ROW, Scope.TOPIC, REFUSED, 0, 2.5),),
    events.TopicBack: (HOSTILE,),
    events.TopicPaused: (HOSTILE,),
    events.TopicResumed: (HOSTILE,),
    events.ReadingPaused: ({HOSTILE: 3}, 2),
    events.ReadingResumed: (),
    events.StandbysBehind: (HOSTILE, 1.0),
    events.StandbysCaughtUp: (2.0,),
    events.Interrupted: (HOSTILE, 0.2),
    events.NotThereYet: (HOSTILE, 5.0),
    events.SlotEmptied: (1, 10),
    events.SlotBusy: (1, [HOSTILE]),
    events.Rotated: (2,),
    events.ChoreFailed: ("pruning", HOSTILE, "nothing is lost"),
    events.HungRelayEnded: (HOSTILE, 9.0, 3, True),
    events.HungBeyondReach: (HOSTILE, 9.0, HOSTILE),
    events.NamesakeFound: (HOSTILE,),
    events.LockedOut: (),
    events.LetInAgain: (),
    events.StoodStill: (3.0,),
    events.LoopStuck: (3.0, "run (relay/relay.py:1)", False),
    events.LoopGoesOn: (3.0,),
    events.LoopGivenUp: (3.0, "run"),
    events.EndedWithoutAnswer: (9.0,),
    events.PortOpened: ("http://127.0.0.1:1",),
    events.Stopped: (10,),
}

Lines = Callable[[], list[str]]


@pytest.fixture
def root() -> Iterator[None]:
    """The logging of this process as it was before."""
    logger = logging.getLogger()
    before = list(logger.handlers), logger.level
    yield
    logging.captureWarnings(capture=False)
    logger.handlers[:], _ = before
    logger.setLevel(before[1])


@pytest.fixture
def lines(root: None, capsys: pytest.CaptureFixture[str]) -> Lines:
    """What stood on standard error since it was asked last."""
    del root
    return lambda: capsys.readouterr().err.split("\n")[:-1]


def test_every_event_has_a_line_or_is_of_the_hot_path() -> None:
    assert set(get_args(events.Event)) == {*EXAMPLES, *HOT}


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
def test_whatever_others_wrote_a_record_is_one_line(kind: type, lines: Lines) -> None:
    event = kind(*EXAMPLES[kind])
    logs.configure("console")
    logs.tell(event)
    (line,) = lines()
    assert line.isprintable()
    logs.configure("json", relay="a")
    logs.tell(event)
    (line,) = lines()
    assert line.isascii()
    told = json.loads(line)
    assert (told["event"], told["relay"]) == (name_of(event), "a")
    assert told["level"] in ("info", "warning", "error")
    made = line_of(event)
    assert made is not None
    assert told["message"] == made.text
    assert set(made.facts) <= set(told)


def test_a_refused_message_is_told_with_all_that_finds_it_and_without_its_payload(lines: Lines) -> None:
    logs.configure("json")
    logs.tell(events.MessageFailed(DEAD))
    (line,) = lines()
    told = json.loads(line)
    assert (told["id"], told["seq"], told["shard"], told["code"]) == ("0199-id", 77, 3, "MSG_SIZE_TOO_LARGE")
    assert (told["dead"], told["attempts"], told["behind"]) == (True, 10, "key")
    assert "relay replay or relay discard" in told["message"]
    assert "secret payload" not in line


def test_the_hot_path_logs_nothing(lines: Lines) -> None:
    logs.configure("console", "info")
    for event in (events.Published([[ROW]]), events.HeldPublished([ROW]), events.Checkpointed(1, 1)):
        logs.tell(event)
    logs.tell(events.MessagesHeld([DEAD]))
    assert lines() == []


def test_what_is_less_grave_than_asked_for_is_left_out(lines: Lines) -> None:
    logs.configure("console", "error")
    logs.tell(events.Stopped(1))
    logs.tell(events.Interrupted("gone", 1))
    logs.tell(events.MessageFailed(DEAD))
    assert len(lines()) == 1


def test_what_a_library_says_has_the_same_form_and_no_traceback(lines: Lines) -> None:
    logs.configure("json")
    try:
        raise ValueError(HOSTILE)  # noqa: TRY301 - a library's
    except ValueError:
        logging.getLogger("some.library").exception("it failed")
    (line,) = lines()
    assert json.loads(line)["logger"] == "some.library"
    assert "ValueError" in json.loads(line)["message"]


URL = "postgresql://relay:p%40ss%2Fwort-eins@db/shop?sslpassword=schluessel-zwei"


@pytest.mark.parametrize("form", ["console", "json"])
def test_no_secret_of_the_settings_is_ever_in_a_line(form: logs.Form, lines: Lines) -> None:
    """Whoever quotes it, in whatever event: as it was written, as it is meant, or escaped."""
    settings = load(
        {
            "DATABASE_URL": URL,
            "KAFKA_BROKERS": "k:1",
            "RELAY_KAFKA_SASL_PASSWORD": 'kafka"geheim-drei',
            "RELAY_KAFKA_SSL_KEY_PASSWORD": "vier-vier\n-vier",
            "RELAY_KAFKA_SASL_OAUTHBEARER_CLIENT_SECRET": "fuenf-fuenf",
        }
    )
    secrets = secrets_of(settings)
    logs.configure(form, secrets=secrets)
    meant = ("p@ss/wort-eins", "p%40ss%2Fwort-eins", "schluessel-zwei", 'kafka"geheim-drei', "vier-vier\n-vier")
    for secret in (*meant, "fuenf-fuenf"):
        logs.tell(events.Interrupted(f"the driver says: {secret!s}", 1))
        logging.getLogger("library").error("quoted %r", secret)
    text = "\n".join(lines())
    assert text.count(logs.HIDDEN) >= 12
    for part in ("wort-eins", "zwei", "geheim", "drei", "vier", "fuenf"):
        assert part not in text


@given(st.text(min_size=4, max_size=30))
def test_a_secret_of_any_characters_is_struck_out(secret: str) -> None:
    record = logging.LogRecord("relay", logging.INFO, "", 0, "%s", (f"<{secret}>",), None)
    for form in (logs._Console(), logs._Json("")):
        line = logs._Hiding(form, [secret]).format(record)
        assert f"<{logs.HIDDEN}>" in line or secret in logs.HIDDEN or secret in "message"
