"""Starts the judge's process and hands over what it sees.

Guarantees: the process ends with the `with` block, and with us, however we end (it reads its input, which we
hold); a judge that failed is never mistaken for one that saw nothing. Knows nothing of Kafka.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import IO

from relay.errors import WorkFailed
from relay.judge.verdict import Seen

NOTHING: Mapping[str, str] = MappingProxyType({})


class JudgeFailed(WorkFailed):
    """The judge could not read what it was asked to: nothing is proven, one way or the other."""


class Watch:
    """A judge at work. `seen` grows on its own, each partition in the order of its offsets."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.seen: list[Seen] = []
        self._process = process
        self._grown = threading.Condition()
        self._complete = False
        self._ended = False
        self._said: list[str] = []
        self._threads = [
            threading.Thread(target=work, args=(pipe,), daemon=True)
            for work, pipe in ((self._listen, process.stdout), (self._overhear, process.stderr))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """The judge's process id."""
        return self._process.pid

    def wait_for(self, enough: Callable[[list[Seen]], bool], seconds: float) -> bool:
        """Wait until `enough(seen)` holds; False when it did not within `seconds`.

        Raises:
            JudgeFailed: the judge ended meanwhile.
        """
        with self._grown:
            satisfied = self._grown.wait_for(lambda: enough(self.seen) or self._ended, seconds)
        if self._ended and not enough(self.seen):
            raise self._failed("ended")
        return satisfied

    def finish(self, seconds: float = 60) -> list[Seen]:
        """Read on to where the topics end now, end the judge, and return all that was seen.

        Args:
            seconds: how long that may take.

        Raises:
            JudgeFailed: it did not get there in time, or at all.
        """
        try:
            assert self._process.stdin is not None
            self._process.stdin.write("finish\n")
            self._process.stdin.flush()
        except OSError:  # it is gone already, and below we see why
            pass
        with self._grown:
            self._grown.wait_for(lambda: self._ended, seconds)
        if not self._complete:
            raise self._failed(
                "ended" if self._ended else f"did not reach the end of its topics within {seconds:.0f} s"
            )
        return self.seen

    def close(self) -> None:
        """End the process, whatever it is at."""
        self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            _close(pipe)

    def _listen(self, lines: IO[str]) -> None:
        for line in lines:
            if not line.endswith("\n"):
                break  # killed in the middle of a line
            found = json.loads(line)
            with self._grown:
                if found is None:
                    self._complete = True
                else:
                    self.seen.extend(Seen(*message) for message in found)
                self._grown.notify_all()
        with self._grown:
            self._ended = True
            self._grown.notify_all()

    def _overhear(self, lines: IO[str]) -> None:
        self._said.extend(line.strip() for line in lines)

    def _failed(self, what: str) -> JudgeFailed:
        return JudgeFailed(f"the judge {what}, nothing is proven: {' '.join(self._said[-3:]) or 'it said nothing'}")


@contextmanager
def watching(
    brokers: str, topics: Sequence[str], counter: str | None = None, variables: Mapping[str, str] = NOTHING
) -> Iterator[Watch]:
    """Run a judge in a process of its own that reads `topics` from their beginning, while the block lasts.

    Args:
        brokers: where Kafka is (host:port, comma separated).
        topics: names in Kafka; they need not exist before `finish`.
        counter: the field of JSON payloads that counts the messages of a key upwards, for `Seen.n`.
        variables: `RELAY_KAFKA_…`, such as those of TLS and SASL. None of this process's own reach the judge.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
    command = [
        sys.executable,
        "-m",
        "relay.judge",
        "--stream",
        "--brokers",
        brokers,
        "--topics",
        ",".join(topics),
    ]
    watch = Watch(
        subprocess.Popen(
            [*command, "--counter", counter] if counter else command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**kept, **variables},
            start_new_session=True,  # a terminal's Ctrl-C reaches us alone: its end is ours to decide
        )
    )
    try:
        yield watch
    finally:
        watch.close()


def read_topics(brokers: str, topics: Sequence[str], *, counter: str | None = None, seconds: float = 60) -> list[Seen]:
    """Return all messages of `topics`, from the beginning to where they end now.

    They are read by a process of its own.

    Args:
        brokers: where Kafka is (host:port, comma separated).
        topics: names in Kafka; all must exist.
        counter: the field of JSON payloads that counts the messages of a key upwards, for `Seen.n`.
        seconds: how long it may take.

    Raises:
        JudgeFailed: a topic is missing, Kafka does not answer, or time is up.
    """
    with watching(brokers, topics, counter) as watch:
        return watch.finish(seconds)


def _close(pipe: IO[str]) -> None:
    with suppress(BrokenPipeError):  # what we still had to say to it no longer matters
        pipe.close()
