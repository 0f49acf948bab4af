"""What the docs say of metrics, alerts and the dashboard is what a relay has."""

import json
import re
import subprocess
from typing import Any

import yaml

from tests.prometheus import RULES, family_of, our_families, program
from tests.services import REPOSITORY

OPERATIONS = REPOSITORY / "docs" / "operations"
METRICS = (REPOSITORY / "docs" / "metrics.md").read_text(encoding="utf-8")
NAME = re.compile(r"outbox_relay_[a-z_]+")


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


def test_every_metric_has_its_line_and_every_line_its_metric() -> None:
    lines = [NAME.findall(line)[0] for line in METRICS.splitlines() if line.startswith("| `outbox_relay_")]
    assert len(lines) == len(set(lines))
    assert {family_of(name) for name in lines} == our_families()


def test_alerts_and_dashboard_ask_for_metrics_that_there_are() -> None:
    for text in (RULES.read_text(), (OPERATIONS / "dashboard.json").read_text()):
        assert {family_of(name) for name in NAME.findall(text)} <= our_families()


def test_every_alert_has_its_part_of_the_runbook_and_every_part_its_alert() -> None:
    headings = re.findall(r"^## (\w+)$", (OPERATIONS / "runbook.md").read_text(), re.MULTILINE)
    assert headings == [rule["alert"] for rule in rules()]
    for rule in rules():
        assert rule["annotations"]["runbook"] == f"docs/operations/runbook.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    found = subprocess.run(
        [program("promtool"), "check", "rules", str(RULES)], capture_output=True, text=True, check=False
    )
    assert (found.returncode, f"{len(rules())} rules found" in found.stdout) == (0, True), found.stderr


def test_the_dashboards_panels_lie_beside_each_other_and_all_have_an_expression() -> None:
    dashboard = json.loads((OPERATIONS / "dashboard.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken
        taken |= cells
        assert panel["targets"]
        assert all(target["expr"] and target["datasource"]["uid"] == "${source}" for target in panel["targets"])
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert {variable["name"] for variable in dashboard["templating"]["list"]} == {"source", "job"}
