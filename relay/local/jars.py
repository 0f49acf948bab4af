"""Kafka's jars, fetched once by Maven into a cache folder: whole or not at all, by one process at a time.

Maven's own repository is in the cache too, so nothing is put into the user's home.
"""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from relay.local.process import ServiceUnavailable

POM = Path(__file__).with_name("kafka-pom.xml")
NAME = "kafka-4.1.0"
MEND = "install Java 17 or newer and Maven (Debian: `apt install openjdk-17-jre-headless maven`), or set KAFKA_BROKERS"
OLDEST_JAVA = 17
"""Kafka 4 brokers need it (Kafka documentation, "Java Version")."""


class KafkaUnavailable(ServiceUnavailable):
    """No Kafka can be started on this machine; the text says what to install."""


def cache_folder() -> Path:
    """Return where what was downloaded is kept: RELAY_CACHE, else `.cache` in the current directory."""
    return Path(os.environ.get("RELAY_CACHE") or ".cache").resolve()


def find_java() -> str:
    """Return the path of the Java to run: of JAVA_HOME, else on the PATH.

    Raises:
        KafkaUnavailable: There is none, or it is too old.
    """
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if java is None:
        raise KafkaUnavailable(f"no Java was found {'in JAVA_HOME' if home else 'on the PATH'}: {MEND}")
    answer = subprocess.run([java, "-XX:-UsePerfData", "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(\d+)', answer.stderr)
    if version is None or int(version[1]) < OLDEST_JAVA:
        raise KafkaUnavailable(f"{java} is version {version[1] if version else 'unknown'}: {MEND}")
    return java


def kafka_jars(cache: Path) -> Path:
    """Return the folder with Kafka's jars in a cache folder, fetched first when it is not there.

    Raises:
        KafkaUnavailable: They have to be fetched, and that cannot be done.
    """
    jars = cache / NAME
    if jars.exists():
        return jars
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{NAME}.lock").open("w") as lock:
        # Maven does not support two processes in one repository; the second waits, and finds the work done.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not jars.exists():
            _fetch(jars, cache)
    return jars


def _fetch(jars: Path, cache: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaUnavailable(f"no Maven was found on the PATH: {MEND}")
    # Renamed when it is complete: a download that was cut off is never taken for Kafka.
    with tempfile.TemporaryDirectory(prefix=f"{NAME}-", dir=cache) as scratch:
        options = f"{os.environ.get('MAVEN_OPTS', '')} -XX:-UsePerfData -Djava.io.tmpdir={scratch}"
        done = subprocess.run(
            [
                maven,
                "--batch-mode",
                "--quiet",
                f"--file={POM}",
                f"-Dmaven.repo.local={cache / 'maven'}",
                "dependency:copy-dependencies",
                f"-DoutputDirectory={scratch}/jars",
            ],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "MAVEN_OPTS": options},
        )
        if done.returncode != 0:
            reason = "\n".join((done.stdout + done.stderr).splitlines()[:10])
            raise KafkaUnavailable(f"Maven cannot fetch Kafka: mend that or set KAFKA_BROKERS. It says:\n{reason}")
        Path(scratch, "jars").rename(jars)
