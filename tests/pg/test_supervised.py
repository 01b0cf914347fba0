"""A program ends with whoever started it, and writes to nothing but what it was given."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ft_ops.pg.supervised import Walls, confinement, supervised

held = pytest.mark.skipif(confinement() is None, reason="this kernel has no Landlock")


def _run(script: str, walls: Walls | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        supervised(["/bin/sh", "-c", script], walls=walls),
        capture_output=True,
        check=False,
        text=True,
        start_new_session=True,
    )


def test_what_a_program_says_and_how_it_ends_is_handed_on() -> None:
    done = _run("echo said; echo complained >&2; exit 3")
    assert (done.stdout, done.stderr, done.returncode) == ("said\n", "complained\n", 3)
    assert _run("kill -SEGV $$").returncode == -signal.SIGSEGV
    missing = subprocess.run(
        supervised(["/no/such/program"]), capture_output=True, check=False, start_new_session=True
    )
    assert (missing.returncode, missing.stderr) == (
        125,
        b"/no/such/program: No such file or directory\n",
    )


_STARTS_TWO = """
import subprocess, sys, time
from ft_ops.pg.supervised import supervised
script = "sleep 600 & echo $! $$; wait"
process = subprocess.Popen(supervised(["/bin/sh", "-c", script]), start_new_session=True)
time.sleep(600)
"""


def test_a_program_and_its_children_end_with_whoever_started_it() -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", _STARTS_TWO], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    with starter.stdout:
        pids = [int(pid) for pid in starter.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(_lives, pids))
        starter.kill()
        starter.wait()
    until = time.monotonic() + 10
    while any(map(_lives, pids)):
        assert time.monotonic() < until
        time.sleep(0.02)


@held
def test_within_walls_nothing_else_is_changed(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    mine.mkdir()
    other.mkdir()
    (other / "kept").write_text("as it was")
    (mine / "door").symlink_to(other)
    attempts = [
        "echo x > door/kept",
        "echo x > door/made",
        "rm door/kept",
        "mkdir door/made",
        "mv door/kept .",
        "mv own door/",
        "ln door/kept linked",
        "truncate -s 0 door/kept",
        "ln -s x door/made",
    ]
    script = f"cd {mine} && touch own && echo x > /dev/null || exit 9\n" + "\n".join(
        f"({attempt}) 2>/dev/null && echo '{attempt}'" for attempt in attempts
    )
    done = _run(script, Walls((mine,)))
    assert (done.stdout, done.stderr) == ("", "")
    assert done.returncode != 9
    assert {path.name: path.read_text() for path in other.iterdir()} == {"kept": "as it was"}
    assert (mine / "own").exists()


@held
def test_without_network_it_signals_nobody_else(tmp_path: Path) -> None:
    script = f"kill -0 {os.getpid()} 2>/dev/null && echo reached; sleep 9 & kill $! && echo own"
    assert _run(script, Walls((tmp_path,), network=False)).stdout == "own\n"


@held
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_it_runs_as_the_user_that_is_named(place: Path) -> None:
    """Also where that user may pass through the folders above and not list them."""
    theirs = place / "theirs"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    place.chmod(0o711)
    done = _run(f"id -u; id -G; echo x > {theirs}/x", Walls((place,), user=(65534, 65534)))
    assert (done.stdout, done.stderr, done.returncode) == ("65534\n65534\n", "", 0)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return _answers(pid) if sys.platform != "linux" else False


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
