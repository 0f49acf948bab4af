"""A Kafka that is away does not fill a worker's log, and what else the client says is told all the same."""

import logging

from app_integration.client_log import SECONDS, Seldom


def line(text: str, level: int = logging.ERROR) -> logging.LogRecord:
    return logging.LogRecord("kafka", level, "", 0, text, None, None)


def test_each_kind_of_line_is_told_once_in_a_while() -> None:
    now = 1_000.0
    seldom = Seldom(lambda: now)
    assert seldom.filter(line("FAIL [thrd:1]: refused (after 0ms)"))
    assert not seldom.filter(line("FAIL [thrd:2]: refused (after 1ms)"))
    assert seldom.filter(line("SESSTMOUT [thrd:1]: timed out"))
    assert seldom.filter(line("FAIL [thrd:1]: disconnected", logging.INFO))
    now += SECONDS
    assert seldom.filter(line("FAIL [thrd:1]: refused (after 0ms)"))
