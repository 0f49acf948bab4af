"""Whose fault a failed delivery is: the tables hold every code that the installed client knows."""

import pytest
from confluent_kafka import KafkaError
from hypothesis import given
from hypothesis import strategies as st

from relay.blame import (
    BROKER_AT_FAULT,
    DESTINATION_AT_FAULT,
    MENDS,
    MESSAGE_AT_FAULT,
    Fault,
    blames_broker,
    fault_of,
    mend,
)

TABLES = {
    Fault.MESSAGE: MESSAGE_AT_FAULT,
    Fault.DESTINATION: DESTINATION_AT_FAULT,
    Fault.BROKER: BROKER_AT_FAULT,
}

NEVER_A_PRODUCERS = (
    *("GROUP", "MEMBER", "SHARE", "STREAMS", "VOTER", "OFFSET", "FETCH", "TRANSACTION", "TXN", "COORDINATOR"),
    *("ASSIGN", "REBALANC", "GENERATION", "SUBSCRI", "TELEMETRY", "ELECTION", "ELIGIBLE", "PREFERRED", "REASSIGNMENT"),
    *("REVOKE", "RESOURCE", "INSTANCE", "ENDPOINT", "DESERIALIZATION", "SESSION", "POLL", "EPOCH", "PARTITION_EOF"),
)
"""Words in the names of codes that tell of consumers, groups, transactions, elections and administration."""

OTHERS_NEVER_A_PRODUCERS = frozenset(
    {
        *("NO_ERROR", "_NO_OFFSET", "_EXISTING_SUBSCRIPTION", "_CONFLICT", "_UNKNOWN_PROTOCOL", "_NOT_IMPLEMENTED"),
        *("_READ_ONLY", "_NOENT", "_NOT_CONFIGURED", "_APPLICATION", "_NOOP", "_LOG_TRUNCATION"),
        *("TOPIC_ALREADY_EXISTS", "TOPIC_DELETION_DISABLED", "DELEGATION_TOKEN_OWNER_MISMATCH"),
        *("DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", "INVALID_PRINCIPAL_TYPE", "UNACCEPTABLE_CREDENTIAL"),
        *("INVALID_UPDATE_VERSION", "FEATURE_UPDATE_FAILED", "UNKNOWN_CONTROLLER_ID", "INVALID_REGISTRATION"),
        *("INVALID_REPLICA_ASSIGNMENT", "INVALID_RECORD_STATE", "INVALID_REGULAR_EXPRESSION"),
        *("CONCURRENT_TRANSACTIONS",),
    }
)

CODES = {
    name: getattr(KafkaError, name)
    for name in dir(KafkaError)
    if name.strip("_").isupper() and isinstance(getattr(KafkaError, name), int)
}


def test_every_code_of_the_installed_client_has_one_verdict() -> None:
    for name, code in CODES.items():
        tables = [fault for fault, table in TABLES.items() if code in table]
        assert len(tables) <= 1, name
        elsewhere = name in OTHERS_NEVER_A_PRODUCERS or any(word in name for word in NEVER_A_PRODUCERS)
        assert tables or elsewhere, f"{name} is in no table: a producer may meet it, or say here that it does not"


def test_no_message_is_blamed_for_the_relays_clock() -> None:
    """Timestamps are the relay's own: while its clock is wrong nothing may come nearer to being given up."""
    error = KafkaError(KafkaError.INVALID_TIMESTAMP)
    assert fault_of(error) is Fault.DESTINATION
    assert "the relay's clock" in mend(error)


def test_there_are_codes_to_judge() -> None:
    assert len(CODES) > 150


@given(st.sampled_from(sorted(CODES.values())))
def test_only_what_the_table_says_counts_against_a_message(code: int) -> None:
    fault = fault_of(KafkaError(code))
    assert (fault is Fault.MESSAGE) == (code in MESSAGE_AT_FAULT)
    assert (fault is Fault.BROKER) == blames_broker(KafkaError(code))


def test_code_that_nobody_has_heard_of_kills_nothing_and_stops_no_other_topic() -> None:
    assert fault_of(KafkaError(9_999)) is Fault.DESTINATION


@pytest.mark.parametrize(
    "outage",
    [
        *("_ALL_BROKERS_DOWN", "_TRANSPORT", "_MSG_TIMED_OUT", "_AUTHENTICATION", "NOT_ENOUGH_REPLICAS"),
        *("TOPIC_AUTHORIZATION_FAILED", "UNKNOWN_TOPIC_OR_PART", "LEADER_NOT_AVAILABLE", "KAFKA_STORAGE_ERROR"),
    ],
)
def test_outage_of_a_broker_a_topic_or_its_rights_is_no_messages_fault(outage: str) -> None:
    assert fault_of(KafkaError(CODES[outage])) is not Fault.MESSAGE


def test_mend_is_known_only_for_what_a_person_can_mend() -> None:
    assert not MENDS.keys() & BROKER_AT_FAULT
    assert MENDS.keys() <= MESSAGE_AT_FAULT | DESTINATION_AT_FAULT
