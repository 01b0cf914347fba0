"""A program ends with whoever started it, and writes to nothing but what it was given."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ft_ops.pg.supervision.starting import end, start
from ft_ops.pg.supervision.supervised import supervised
from ft_ops.pg.supervision.walls import Walls, confinement, connects_to_nobody

_AUTOGROUP = Path("/proc/self/autogroup")
"""The place of a process's session among the machine's sessions."""

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
    killed = _run("kill -KILL $$")
    assert (killed.returncode, killed.stderr) == (-signal.SIGKILL, "")
    missing = subprocess.run(
        supervised(["/no/such/program"]), capture_output=True, check=False, start_new_session=True
    )
    assert (missing.returncode, missing.stderr) == (
        125,
        b"/no/such/program: No such file or directory\n",
    )


def _places(script: str, gives_way_seconds: float, *, privileged: bool = True) -> str:
    """What a script says of its places, run in a session of its own as the product runs one."""
    return subprocess.run(
        supervised(["/bin/sh", "-c", script], gives_way_seconds=gives_way_seconds),
        capture_output=True,
        check=True,
        start_new_session=True,
        text=True,
        timeout=30,
        preexec_fn=None if privileged else _lose_right_to_go_first,
    ).stdout


def _lose_right_to_go_first() -> None:
    """As root in a container is without it: CAP_SYS_NICE leaves the bounding set."""
    assert ctypes.CDLL(None).prctl(24, 23, 0, 0, 0) == 0


def _may_go_first_again() -> bool:
    tried = subprocess.run(["nice", "-n", "-1", "true"], check=False, capture_output=True)
    return tried.stderr == b""


def test_a_program_gives_way_where_it_is_told_to() -> None:
    lowest = 19 if _may_go_first_again() else os.nice(0) + 10
    assert int(_places("nice", gives_way_seconds=60)) == lowest
    assert int(_places("nice", gives_way_seconds=0)) == os.nice(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="others have lost the right already")
def test_it_takes_no_place_for_ever_from_which_it_would_not_end() -> None:
    assert int(_places("nice", gives_way_seconds=60, privileged=False)) == os.nice(0) + 10


@pytest.mark.skipif(not _may_go_first_again(), reason="it may not take its place back")
@pytest.mark.skipif(
    not _AUTOGROUP.is_file() or not _AUTOGROUP.read_text(), reason="no autogroups here"
)
def test_its_whole_session_gives_way_and_not_for_ever() -> None:
    """A nice value counts within a session alone, and a program is in one of its own.

    What a person gives the session meanwhile stays until then.
    """
    until = f"until grep -q ' nice %d$' {_AUTOGROUP}; do sleep 0.05; done; "
    usual = f"until [ $(nice) = {os.nice(0)} ]; do sleep 0.05; done; "
    by_hand = f"echo 7 > {_AUTOGROUP}; while grep -q ' nice 7$' {_AUTOGROUP}; do sleep 0.05; done; "
    ours = _AUTOGROUP.read_text()
    policy = "cut -d ' ' -f 41 /proc/self/stat"  # proc(5)
    others = f"until [ $({policy}) = {os.SCHED_OTHER} ]; do sleep 0.05; done; "
    script = f"{until % 19} {policy}; {by_hand} cat {_AUTOGROUP}; {usual} {others} echo all"
    said = _places(script, gives_way_seconds=1.5)
    expected = [str(os.SCHED_IDLE), "0", "all"]
    assert [line.rpartition(" ")[2] for line in said.splitlines()] == expected
    assert _AUTOGROUP.read_text() == ours


def _forbid_places() -> None:
    """As a container's profile does: no place among others may be asked for or taken.

    By seccomp(2), for x86-64: setpriority, getpriority, and what is about policies end in EPERM.
    """
    denied = [140, 141, 144, 145]
    steps = [(0x20, 0, 0, 0), *((0x15, len(denied) - n, 0, c) for n, c in enumerate(denied))]
    steps += [(0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x00050001)]
    held = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    told = struct.pack("@HP", len(steps), ctypes.addressof(held))
    libc = ctypes.CDLL(None)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.c_char_p(told), 0, 0) == 0


@pytest.mark.skipif(not connects_to_nobody(), reason="this kernel has no seccomp for us")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="others have other numbers")
def test_it_runs_where_nobody_may_choose_his_place() -> None:
    """The log's shipment as well, which has threads that give way."""
    ships = (
        "from concurrent.futures import ThreadPoolExecutor;"
        "from ft_ops.backups.barman.spool import _give_way;"
        "print(ThreadPoolExecutor(1, initializer=_give_way).submit(lambda: 'shipped').result())"
    )
    commands = supervised(["/bin/sh", "-c", "sleep 1.2; echo ran"], gives_way_seconds=0.1)
    for command, said in ((commands, "ran\n"), ([sys.executable, "-c", ships], "shipped\n")):
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            start_new_session=True,
            text=True,
            preexec_fn=_forbid_places,
        )
        assert (done.stdout, done.stderr, done.returncode) == (said, "", 0)


_STARTS_TWO = """
import signal, subprocess, sys, time
from ft_ops.pg.supervision.supervised import supervised
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGALRM])
script = "sleep 600 & echo $! $$; wait"
process = subprocess.Popen(supervised(["/bin/sh", "-c", script]), start_new_session=True)
time.sleep(600)
"""


def test_a_program_and_its_children_end_with_whoever_started_it() -> None:
    """Also where he holds signals back, which his children inherit."""
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


_STARTS_A_DAEMON = _STARTS_TWO.replace("sleep 600 & echo", "setsid sleep 600 & sleep 0.2; echo")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone hands orphans over")
def test_what_it_started_in_a_session_of_its_own_ends_with_it_too() -> None:
    """As pg_ctl starts a server."""
    starter = subprocess.Popen(
        [sys.executable, "-c", _STARTS_A_DAEMON], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    with starter.stdout:
        daemon = int(starter.stdout.readline().split()[0])
        assert _lives(daemon)
        starter.kill()
        starter.wait()
    until = time.monotonic() + 10
    while _lives(daemon) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _lives(daemon)
    left = _run("setsid sleep 600 >&- 2>&- & echo $!; sleep 0.2")
    assert not _lives(int(left.stdout))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone hands orphans over")
@pytest.mark.parametrize("ending", [None, "INT", "HUP", "QUIT", "KILL", "KILL second"])
def test_nothing_of_it_is_left_however_it_is_ended(ending: str | None) -> None:
    """Its workers are in its session, as barman's are; its daemon, as pg_ctl's, is in its own.

    Without a signal it ends as at a time-out. Of two supervisors either may be killed.
    """
    script = "sleep 600 & echo $!; setsid sleep 600 & sleep 0.2; echo $! $$; wait"
    process = start(
        ["/bin/sh", "-c", script], output=subprocess.PIPE, complaints=subprocess.DEVNULL
    )
    assert process.stdout is not None
    with process.stdout:
        lines = process.stdout.readline() + process.stdout.readline()
        pids = [int(pid) for pid in lines.split()]
        assert all(map(_lives, pids))
        if ending is not None:
            name, _, second = ending.partition(" ")
            os.kill(_parent(pids[-1]) if second else process.pid, getattr(signal, f"SIG{name}"))
            process.wait(10)
        end(process)
    until = time.monotonic() + 10
    while any(map(_lives, pids)):
        assert time.monotonic() < until
        time.sleep(0.02)


_STARTS_A_STUCK_SERVER = """
import subprocess, time
from ft_ops.pg.supervision.supervised import supervised
script = "trap : QUIT; echo $$; while :; do sleep 0.1; done"
command = supervised(["/bin/sh", "-c", script], on_death="quit")
process = subprocess.Popen(command, start_new_session=True)
print(process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.chaos
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone hands orphans over")
def test_a_server_that_is_asked_to_end_and_does_not_is_killed_all_the_same() -> None:
    """Whether its starter is gone, or one of two supervisors: each look asks it again."""
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", _STARTS_A_STUCK_SERVER], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    servers = []
    for starter in starters:
        assert starter.stdout is not None
        pids = [int(starter.stdout.readline()), int(starter.stdout.readline())]
        servers.append(next(pid for pid in pids if _parent(pid) != starter.pid))
    starters[0].kill()
    os.kill(_parent(_parent(servers[1])), signal.SIGKILL)
    until = time.monotonic() + 12
    try:
        while any(map(_lives, servers)):
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        for pid in filter(_lives, servers):
            os.killpg(os.getpgid(pid), signal.SIGKILL)
        for starter in starters:
            starter.kill()
            starter.communicate()


_IGNORES_CHILDREN = """
import subprocess
from ft_ops.errors import OpsError
from ft_ops.pg.supervision.starting import start
try:
    start(["/bin/false"], output=subprocess.DEVNULL, complaints=subprocess.DEVNULL)
except OpsError as refusal:
    print(refusal.cause)
"""


def test_it_is_not_started_where_nobody_could_know_how_it_ended() -> None:
    """Its status would be told as 0: an ignored SIGCHLD comes with whoever started the service."""
    told = subprocess.run(
        [sys.executable, "-c", _IGNORES_CHILDREN],
        capture_output=True,
        check=True,
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
        text=True,
    )
    assert told.stdout.startswith("this process ignores SIGCHLD")


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


_CALLS = """
import socket, sys
stream, packet = socket.SOCK_STREAM, socket.SOCK_DGRAM
file, tcp, udp = sys.argv[1], ("127.0.0.1", int(sys.argv[2])), ("127.0.0.1", int(sys.argv[3]))
ways = {
    "file": lambda: socket.socket(socket.AF_UNIX, stream).connect(file),
    "name": lambda: socket.socket(socket.AF_UNIX, stream).connect("\\0" + file),
    "tcp": lambda: socket.socket(socket.AF_INET, stream).connect(tcp),
    "udp": lambda: socket.socket(socket.AF_INET, packet).sendto(b"x", udp),
    "message": lambda: socket.socket(socket.AF_INET, packet).sendmsg([b"x"], [], 0, udp),
}
for name, call in ways.items():
    try:
        call()
        print(name)
    except PermissionError:
        pass
with socket.socket(socket.AF_UNIX, stream) as mine:
    mine.bind(file + ".mine")
    mine.listen()
    print("called", flush=True)
    other = mine.accept()[0]
    other.send(b"answered")
"""


@pytest.mark.skipif(not connects_to_nobody(), reason="this kernel has no seccomp for us")
def test_without_network_it_calls_nobody_and_can_be_called(place: Path) -> None:
    """A socket that is a file too: the live server listens at one, and lets in whom it knows."""
    with (
        socket.socket(socket.AF_UNIX) as file,
        socket.socket(socket.AF_UNIX) as name,
        socket.socket() as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        file.bind(f"{place}/s")
        name.bind(f"\0{place}/s")
        for listening in (tcp, udp):
            listening.bind(("127.0.0.1", 0))
        for listening in (file, name, tcp):
            listening.listen()
        ports = [str(listening.getsockname()[1]) for listening in (tcp, udp)]
        command = [sys.executable, "-c", _CALLS, f"{place}/s", *ports]

        def called(*, network: bool) -> list[str]:
            walls = Walls((place,), network=network)
            with subprocess.Popen(
                supervised(command, walls=walls),
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            ) as process:
                assert process.stdout is not None
                said = []
                while (line := process.stdout.readline().strip()) != "called":
                    assert line, "it ended before it could be called"
                    said.append(line)
                with socket.socket(socket.AF_UNIX) as caller:
                    caller.connect(f"{place}/s.mine")
                    assert caller.recv(99) == b"answered"
            Path(f"{place}/s.mine").unlink()
            return said

        assert called(network=False) == []
        assert called(network=True) == ["file", "name", "tcp", "udp", "message"]


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


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


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
