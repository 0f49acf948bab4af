"""Runs the command line as a user would: a process of its own, with an environment of its own."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent

SECONDS = 60


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without anything that sets the relay up, and then `variables`."""
    ours = ("RELAY_", "DATABASE_URL", "KAFKA_BROKERS", "PG")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200", **variables}


def start(*arguments: str, **variables: str) -> "subprocess.Popen[str]":
    """Start `python -m relay` in an empty directory and return while it runs."""
    return subprocess.Popen(
        [sys.executable, "-m", "relay", *arguments],
        cwd=tempfile.gettempdir(),
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def relay(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run `python -m relay` to its end. A traceback is never an answer, whatever was asked."""
    with start(*arguments, **variables) as process:
        try:
            output, errors = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert "Traceback" not in errors, errors
    return subprocess.CompletedProcess(arguments, process.returncode, output, errors)
