"""The wheel stands alone: it brings the migrations inside `relay`, and installs no other name of its own."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from relay import migrate
from relay.revision import State

ROOT = Path(__file__).parents[2]
MIGRATIONS = ROOT / "migrations"

WHERE = "import relay.migrate; print(relay.migrate.location())"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs, and no trace of the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    uv = Path(sys.executable).with_name("uv")
    done = subprocess.run(
        [uv, "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-cache", "--target", folder, wheel],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def files(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def python(installed: Path, cwd: Path, *arguments: str, url: str = "") -> "subprocess.CompletedProcess[str]":
    """Run Python where the wheel's packages come before those of the checkout."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "DATABASE_URL": url}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_wheel_installs_its_two_packages_and_nothing_else(wheel: Path) -> None:
    packages = {name.partition("/")[0] for name in files(wheel)}
    assert {name for name in packages if not name.endswith(".dist-info")} == {"relay", "app_integration"}


def test_wheel_carries_every_migration(wheel: Path) -> None:
    sources = {path for path in MIGRATIONS.rglob("*") if path.suffix in {".py", ".sql"}}
    assert sources
    assert {f"relay/migrations/{path.relative_to(MIGRATIONS)}" for path in sources} <= files(wheel)


@pytest.mark.parametrize("part", ["workers", "realtime", "example"])
def test_wheel_carries_the_migrations_of_edu_matrix(wheel: Path, part: str) -> None:
    folder = ROOT / "app_integration" / part / "migrations"
    sources = {path.relative_to(ROOT).as_posix() for path in folder.rglob("*") if path.suffix in {".py", ".sql"}}
    assert len(sources) >= 4
    assert sources <= files(wheel)


def test_wheel_carries_nothing_compiled(wheel: Path) -> None:
    assert not [name for name in files(wheel) if "__pycache__" in name or name.endswith(".pyc")]


def test_wheel_tells_type_checkers_that_it_is_typed(wheel: Path) -> None:
    assert {"relay/py.typed", "app_integration/py.typed"} <= files(wheel)


def test_installed_relay_uses_the_migrations_that_it_brought(installed: Path, tmp_path: Path) -> None:
    done = python(installed, tmp_path, "-c", WHERE)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == installed / "relay" / "migrations"


def test_installed_relay_migrates_outside_the_checkout(installed: Path, tmp_path: Path, empty_database: str) -> None:
    done = python(installed, tmp_path, "-m", "relay", "migrate", url=empty_database)
    assert done.returncode == 0, done.stderr
    assert migrate.check(empty_database).state is State.CURRENT
    done = python(installed, tmp_path, "-m", "relay", "migrate", "--down", url=empty_database)
    assert done.returncode == 0, done.stderr
    assert migrate.check(empty_database).state is State.MISSING


def test_installed_command_prints_the_script_without_a_database(installed: Path, tmp_path: Path) -> None:
    done = python(installed, tmp_path, "-m", "relay", "migrate", "--sql", "--shards", "4")
    assert done.returncode == 0, done.stderr
    assert done.stdout == migrate.sql(shards=4) + "\n"
