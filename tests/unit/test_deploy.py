"""What is in deploy/ is valid by the schemas of those who read it, and says what the relay needs it to say."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = DEPLOY / "systemd" / "outbox-relay.service"
MANIFESTS = [
    manifest
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for manifest in yaml.safe_load_all(path.read_text())
]


def unit(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), flags=re.MULTILINE)


def of_kind(kind: str) -> dict[str, Any]:
    (found,) = [manifest for manifest in MANIFESTS if manifest["kind"] == kind]
    return dict(found)


@pytest.mark.parametrize(
    "manifest", MANIFESTS, ids=lambda manifest: f"{manifest['kind']}-{manifest['metadata']['name']}"
)
def test_manifest_follows_the_schema_of_kubernetes(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, "1.30", strict=True)


def test_the_schema_would_notice_a_mistake() -> None:
    deployment = of_kind("Deployment")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**deployment, "spec": {**deployment["spec"], "replica": 2}}, "1.30", strict=True)


def test_two_relays_of_which_one_is_always_left() -> None:
    deployment, budget = of_kind("Deployment"), of_kind("PodDisruptionBudget")
    assert deployment["spec"]["replicas"] == 2
    assert budget["spec"]["minAvailable"] == 1
    assert budget["spec"]["selector"] == deployment["spec"]["selector"]


def test_probes_ask_the_port_that_the_relay_opens() -> None:
    (container,) = of_kind("Deployment")["spec"]["template"]["spec"]["containers"]
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert container["ports"] == [{"name": "http", "containerPort": int(environment["RELAY_HTTP_PORT"])}]
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}


@pytest.mark.parametrize("kind", ["Deployment", "Job"])
def test_no_container_is_root_or_may_become_it_and_no_secret_is_in_its_environment(kind: str) -> None:
    pod = of_kind(kind)["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not [variable for variable in container["env"] if "secretKeyRef" in variable.get("valueFrom", {})]
    modes = [volume["secret"]["defaultMode"] for volume in pod["volumes"] if "secret" in volume]
    assert modes == [0o440]


def test_unit_is_understood_by_systemd(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    assert program, "install systemd: apt-get install systemd"
    relay = tmp_path / "relay"
    relay.write_text("#!/bin/sh\n")
    relay.chmod(0o755)
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/outbox-relay/bin/relay", str(relay)))
    done = subprocess.run([program, "verify", "--man=no", copy], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert (done.returncode, complaints) == (0, []), done.stderr


def test_unit_leaves_the_relay_little_of_the_machine() -> None:
    program = shutil.which("systemd-analyze")
    assert program, "install systemd: apt-get install systemd"
    command = [program, "security", "--offline=yes", "--threshold=20", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-400:] + done.stderr


def test_unit_waits_for_what_the_relay_says_and_grants_the_time_it_takes() -> None:
    assert unit("Type") == ["notify"]
    (start,) = unit("ExecStart")
    waits = int(start.rpartition("--wait ")[2])
    assert waits < int(unit("TimeoutStartSec")[0])
    assert int(unit("TimeoutStopSec")[0]) > 10
    # The relay ends itself at twice the takeover time, and says where it stands: that comes first.
    assert int(unit("WatchdogSec")[0]) > 2 * 25
    assert unit("Restart") == ["always"]
