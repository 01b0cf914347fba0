"""The wheel stands alone: what pip installs of it runs, away from the checkout."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.production.policies import REPOSITORY

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program `ft-ops` of a wheel that pip installed, beside the locked packages."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    made = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(made)], check=True)
    (packages,) = made.glob("lib/python*/site-packages")
    # By a path alone: the checkout is installed there by a file that only site itself follows.
    (packages / "locked.pth").write_text(sysconfig.get_path("purelib"))
    for program in Path(sysconfig.get_path("scripts")).glob("barman-*"):
        (made / "bin" / program.name).symlink_to(program)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", str(made / "bin" / "python")),
            *("install", "--quiet", "--no-deps", "--no-index", "--no-compile", str(wheel)),
        ],
        check=True,
    )
    return made / "bin" / "ft-ops"


def test_the_wheel_carries_what_it_needs(installed: Path, tmp_path: Path) -> None:
    told = run(installed, tmp_path, "sandbox", "--", str(installed), "migrate", "run")
    assert "applied 1/" in told
    where = subprocess.run(
        [str(installed.with_name("python")), "-c", "import ft_ops; print(ft_ops.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        check=True,
        text=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(installed.parents[1])


@pytest.mark.chaos
@pytest.mark.timeout(1200)
def test_the_demo_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    size = ["--families", "2", "--months", "86", "--segments", "10"]
    assert "months read back from Glacier, equal" in run(installed, tmp_path, "demo", *size)
    assert (tmp_path / "demo-report.json").exists()


def run(program: Path, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [str(program), *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
