"""When a client that waits for Kafka is replaced: after several questions without an answer, and not before."""

import pytest

from app_integration.contact import Contact


def test_a_client_is_replaced_after_several_questions_in_a_row_without_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("app_integration.contact.time.monotonic", lambda: now)

    def waited() -> float:
        nonlocal now
        began = now
        while not contact.time_to_ask():
            now += 1
        return now - began

    contact = Contact(often=10, again=3, tries=3)
    assert waited() == 10
    assert [(contact.lost(), waited()) for _ in range(2)] == [(False, 3), (False, 3)]
    contact.heard()
    assert waited() == 10
    assert [(contact.lost(), waited()) for _ in range(4)] == [(False, 3), (False, 3), (True, 10), (False, 3)]
