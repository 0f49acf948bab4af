"""A call of librdkafka that waits while the clock is set back is woken, with Kafka away so that nothing else does."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.clock import Clock

PROGRAM = """
import time
from relay.publishing.producer import ALONE, flush, make

producer = make({"bootstrap.servers": "127.0.0.1:1"}, lambda *_: None, **ALONE)
producer.produce("events", b"x")
print("waits", flush=True)
began = time.monotonic()
flush(producer, 5.0)
print(time.monotonic() - began, flush=True)
"""


def test_a_call_that_waits_while_the_clock_is_set_back_ends_soon(tmp_path: Path) -> None:
    clock = Clock(tmp_path, "wrong")
    command = [sys.executable, "-c", PROGRAM]
    environment = {**os.environ, **clock.environment}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "waits\n"
        for wrong in (3600, 0) * 10:
            clock.set(wrong)
            time.sleep(0.3)
        try:
            told, _ = program.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            program.kill()
            pytest.fail("the call waits for the hour by which the clock was set back")
        assert float(told) < 20
