"""A real Prometheus with the alert rules that we ship, watching real relays a few times a second."""

import json
import re
import shutil
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from relay.configuration.loading import load
from relay.local.process import Process, await_answer, free_port
from relay.watching.watch import Watch, Watched
from tests.services import REPOSITORY, failing_plainly

RULES = REPOSITORY / "docs" / "operations" / "alerts.yaml"

CONFIG = """
global: {scrape_interval: 500ms, scrape_timeout: 400ms, evaluation_interval: 500ms}
rule_files: [rules.yaml]
scrape_configs:
  - job_name: outbox-relay
    static_configs: [{targets: %s}]
"""


def program(name: str) -> str:
    """Where a program of Prometheus is; a test that finds none fails and says what to install."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is not installed: apt-get install prometheus", pytrace=False)
    return found


def impatient(rules: str) -> str:
    """The same rules, as soon as their cause is there: without what they wait for first."""
    return re.sub(r"for: \d+m", "for: 0s", rules)


def our_families() -> set[str]:
    """The metrics of a relay, as Prometheus's libraries name them: a counter without its `_total`."""
    watch = Watch(load({}, needs=()), lambda: None, Watched(lambda _: None))
    registry = watch.metrics.registry
    return {family.name for family in registry.collect() if family.name.startswith("outbox_relay")}


def family_of(name: str) -> str:
    """The metric that a series or an expression names: a counter without `_total`, a histogram without its parts."""
    return re.sub(r"(_total|_bucket|_count|_sum|_info)$", "", name)


class Prometheus:
    """One server, which watches some ports of this machine.

    Args:
        folder: for its files.
        ports: where relays are.
        rules: alert rules.
    """

    def __init__(self, folder: Path, ports: Sequence[int], rules: str) -> None:
        folder.mkdir()
        (folder / "rules.yaml").write_text(rules)
        config = folder / "prometheus.yaml"
        config.write_text(CONFIG % json.dumps([f"127.0.0.1:{port}" for port in ports]))
        port, log = free_port(), folder / "log"
        self._url = f"http://127.0.0.1:{port}/api/v1/"
        arguments = (
            program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        )
        self._process = Process(arguments, log, directory=folder)
        with failing_plainly():
            await_answer(self._process, log, 30, self._answers)

    def close(self) -> None:
        """End it."""
        self._process.end()

    def query(self, expression: str) -> list[Any]:
        """What an expression is now: its series, each with its labels and value."""
        found = self._get(f"query?query={urllib.parse.quote(expression)}")
        return list(found["result"])

    def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        alerts = self._get("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(self._url + path, timeout=10) as answer:
            return json.load(answer)["data"]

    def _answers(self) -> bool:
        try:
            return self.query("1")[0] is not None
        except (OSError, IndexError):
            return False
