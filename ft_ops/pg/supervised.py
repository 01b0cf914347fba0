"""Runs a program that ends with us, and that can write to nothing but what it is given.

The command that `supervised` makes runs this very file, with nothing but the standard library: it
starts the program as its child, ends it when whoever started it is gone (`kill -9` included), and
hands its exit status on. Where the kernel has Landlock, the program and everything it starts can
change no file outside its folders, whoever it runs as and wherever a link leads it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
import struct
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal, NoReturn

OnDeath = Literal["kill", "quit"]
"""``kill``: the whole process group at once. ``quit``: SIGQUIT, on which PostgreSQL's postmaster
ends its server; what is left after that is killed."""

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_SET_DEATH_SIGNAL, _SET_CHILD_SUBREAPER, _SET_NO_NEW_PRIVS = 1, 36, 38  # prctl(2)

# Rights of linux/landlock.h that change something, by the version that brought them.
_WRITE_FILE, _TRUNCATE = 1 << 1, 1 << 14
_CHANGES: Final = _WRITE_FILE | sum(1 << bit for bit in range(4, 13))
_NETWORK: Final = 0b11
_SCOPES: Final = 0b11  # sockets without a file, and signals

_GET_SECCOMP, _SET_SECCOMP, _FILTER = 21, 22, 2  # prctl(2)
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # linux/bpf_common.h
_ALLOW: Final = 0x7FFF0000
_DENY: Final = 0x00050000 | errno.EACCES
_IO_URING_SETUP: Final = 425  # by which one connects without the call
_OTHER_ABI: Final = 0x40000000  # x86-64 numbers its calls a second time from here on
# Where linux/seccomp.h has the call's number, its architecture, and the address that sendto is
# given: send() is the same call without one.
_CALL_AT, _ARCHITECTURE_AT, _ADDRESS_AT = 0, 4, 48

LOWEST_PRIORITY: Final = 19
_POLL_SECONDS: Final = 1.0
_QUIT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Walls:
    """What a program is kept within: it writes below ``folders`` only, as ``user`` (uid, gid).

    Without ``network`` it connects to nobody, by whatever kind of socket, and can signal nobody but
    its own children; others may connect to it. With ``own_servers`` it may connect by sockets that
    are files, as pg_upgrade does with the servers that it starts, and still by no other kind.
    """

    folders: tuple[Path, ...]
    network: bool = True
    user: tuple[int, int] | None = None
    own_servers: bool = False


@dataclass(frozen=True, slots=True)
class _Calls:
    """Numbers of what reaches others: asm/unistd.h; ``architecture`` is linux/audit.h's."""

    architecture: int
    connect: int
    sendto: int
    sendmsg: int
    sendmmsg: int


_CALLS: Final = {
    "x86_64": _Calls(0xC000003E, connect=42, sendto=44, sendmsg=46, sendmmsg=307),
    "aarch64": _Calls(0xC00000B7, connect=203, sendto=206, sendmsg=211, sendmmsg=269),
}


def supervised(
    command: Sequence[str],
    *,
    walls: Walls | None = None,
    on_death: OnDeath = "kill",
    gives_way_seconds: float = 0,
) -> list[str]:
    """The command that runs ``command`` under supervision of the process that starts it.

    Start it in a session of its own: at the end its whole process group is killed, and on Linux
    whatever it started in sessions of their own too, as pg_ctl does. Without ``walls`` it is not
    confined. For ``gives_way_seconds`` a program works in what others leave of processors and
    disks; from then on its session has an equal share, so that it ends on a busy machine, too.
    """
    arguments = [f"--parent={os.getpid()}", f"--on-death={on_death}"]
    arguments += [f"--gives-way={gives_way_seconds}"] if gives_way_seconds > 0 else []
    if walls is not None:
        arguments += [f"--write={folder}" for folder in walls.folders]
        arguments += [] if walls.network else ["--no-network"]
        arguments += ["--own-servers"] if walls.own_servers else []
        if walls.user is not None:
            arguments.append("--user={}:{}".format(*walls.user))
    return [sys.executable, "-I", "-S", __file__, *arguments, "--", *command]


@cache
def confinement() -> str | None:
    """What holds `Walls` on this machine, None where nothing does."""
    version = _landlock_version()
    return f"Landlock {version}" if version > 0 else None


@cache
def connects_to_nobody() -> bool:
    """Whether `Walls` without network keep a program from every connection on this machine.

    Landlock alone knows TCP, and since Linux 6.7 only: a socket that is a file it lets through.
    """
    return (
        sys.platform.startswith("linux")
        and platform.machine() in _CALLS
        and ctypes.CDLL(None).prctl(_GET_SECCOMP, 0, 0, 0, 0) >= 0
    )


def _landlock_version() -> int:
    """0 where the kernel has none, or a container's seccomp profile forbids it."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(_syscall(_CREATE_RULESET, None, 0, _VERSION), 0)


def _syscall(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = libc.syscall(ctypes.c_long(number), *given)
    return result


def _prctl(option: int, value: int) -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _confine(folders: Sequence[str], *, network: bool) -> None:
    """From here on this process, and what it starts, changes files below ``folders`` only."""
    version = _landlock_version()
    if version == 0:
        return
    changes = _CHANGES | (1 << 13 if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    ports = _NETWORK if version >= 4 and not network else 0
    scopes = _SCOPES if version >= 6 and not network else 0
    fields = [changes, *([ports] if version >= 4 else []), *([scopes] if version >= 6 else [])]
    ruleset = _syscall(
        _CREATE_RULESET, struct.pack(f"={len(fields)}Q", *fields), 8 * len(fields), 0
    )
    if ruleset < 0:
        _give_up(f"Landlock refuses a ruleset: {os.strerror(ctypes.get_errno())}")
    for path in (*folders, os.devnull):
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
        of_files = _WRITE_FILE | (_TRUNCATE if version >= 3 else 0)
        allowed = of_files if path == os.devnull else changes
        rule = struct.pack("=Qi", allowed, beneath)
        if _syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0) != 0:
            _give_up(f"Landlock refuses {path}: {os.strerror(ctypes.get_errno())}")
        os.close(beneath)
    _prctl(_SET_NO_NEW_PRIVS, 1)
    if _syscall(_RESTRICT_SELF, ruleset, 0) != 0:
        _give_up(f"Landlock refuses to begin: {os.strerror(ctypes.get_errno())}")
    os.close(ruleset)


def _connect_to_nobody() -> None:
    """From here on this process, and what it starts, can accept connections and make none."""
    if not connects_to_nobody():
        return
    calls = _CALLS[platform.machine()]
    denied = [calls.connect, calls.sendmsg, calls.sendmmsg, _IO_URING_SETUP]
    # Each: what to do, how many to skip if so, and if not, a number. Denied stands at the end.
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 0, len(denied) + 8, calls.architecture),
        (_LOAD, 0, 0, _CALL_AT),
        (_AT_LEAST, len(denied) + 6, 0, _OTHER_ABI),
        *((_EQUAL, len(denied) + 5 - n, 0, number) for n, number in enumerate(denied)),
        (_EQUAL, 0, 4, calls.sendto),
        (_LOAD, 0, 0, _ADDRESS_AT),
        (_EQUAL, 0, 3, 0),
        (_LOAD, 0, 0, _ADDRESS_AT + 4),
        (_EQUAL, 0, 1, 0),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _DENY),
    ]
    filters = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    told = struct.pack("@HP", len(program), ctypes.addressof(filters))
    _prctl(_SET_NO_NEW_PRIVS, 1)
    if ctypes.CDLL(None).prctl(_SET_SECCOMP, _FILTER, ctypes.c_char_p(told), 0, 0) != 0:
        _give_up("seccomp refuses a filter")


def _give_up(why: str) -> NoReturn:
    os.write(2, f"{why}\n".encode())
    os._exit(125)


def _run(
    command: Sequence[str],
    folders: Sequence[str],
    user: str | None,
    *,
    network: bool,
    own_servers: bool,
    on_death: str,
    supervisor: int,
) -> NoReturn:
    """The child's part: become the program. Nothing here returns."""
    try:
        if user is not None:
            uid, gid = (int(part) for part in user.split(":"))
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        if folders:
            _confine(folders, network=network)
        if not network and not own_servers:
            _connect_to_nobody()
        # It is cleared when the user changes, so it comes after that.
        _prctl(_SET_DEATH_SIGNAL, signal.SIGQUIT if on_death == "quit" else signal.SIGKILL)
        if os.getppid() != supervisor:
            _give_up("its supervisor is gone")
        os.execv(command[0], list(command))
    except OSError as error:
        _give_up(f"{command[0]}: {error.strerror}")


def _supervise(child: int, parent: int, on_death: str, *, gives_way_until: float | None) -> int:
    """Wait for the child; end it once ``parent`` is not ours any more. Returns its status."""

    def end(*_: object) -> None:
        if on_death == "quit":
            os.kill(child, signal.SIGQUIT)
            until = time.monotonic() + _QUIT_SECONDS
            while time.monotonic() < until:
                if os.waitpid(child, os.WNOHANG) != (0, 0):
                    break
                time.sleep(_POLL_SECONDS / 20)
        _end_descendants()
        os.killpg(0, signal.SIGKILL)

    def look(*_: object) -> None:
        if os.getppid() != parent:
            end()
        if gives_way_until is not None and os.getsid(0) == os.getpid():
            _place_session(LOWEST_PRIORITY if time.monotonic() < gives_way_until else 0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGALRM, look)
    # Where the kernel tells nobody of a parent's death, it is seen by looking.
    signal.setitimer(signal.ITIMER_REAL, _POLL_SECONDS, _POLL_SECONDS)
    _prctl(_SET_DEATH_SIGNAL, signal.SIGTERM)
    look()
    status = os.waitpid(child, 0)[1]
    _end_descendants()
    return status


def _place_session(place: int) -> None:
    """Let our session have a nice value among the machine's sessions.

    Linux shares processors between sessions first (autogroups, sched(7)); a program's own value
    counts within its session alone.
    """
    # Others have none. Linux takes ten a second from everybody together: this is tried each second.
    with suppress(OSError), open("/proc/self/autogroup", "w", encoding="ascii") as file:  # noqa: PTH123
        file.write(str(place))


def _end_descendants() -> None:
    """Kill what lives below us, generation by generation: orphans become our own children."""
    while children := _children_of(os.getpid()):
        waiting = list(children)
        while waiting:
            pid = waiting.pop()
            waiting += _children_of(pid)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            except PermissionError:
                return  # another user's: a program that was given another identity
        for pid in children:
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                continue


def _children_of(pid: int) -> list[int]:
    """Whom a process has started or taken over; empty where the kernel does not tell."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:  # noqa: PTH123
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def _main(arguments: Sequence[str]) -> NoReturn:
    options, command = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    named = [option[2:].partition("=") for option in options]
    folders = [value for name, _, value in named if name == "write"]
    given = {name: value for name, _, value in named}
    me = os.getpid()
    _prctl(_SET_CHILD_SUBREAPER, 1)
    child = os.fork()
    if child == 0:
        if "gives-way" in given:
            os.nice(LOWEST_PRIORITY)  # for disks, too: Linux takes one's place there from this
        _run(
            command,
            folders,
            given.get("user"),
            network="no-network" not in given,
            own_servers="own-servers" in given,
            on_death=given["on-death"],
            supervisor=me,
        )
    # The reader of the program's output sees its end when the program closes it.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    until = time.monotonic() + float(given["gives-way"]) if "gives-way" in given else None
    status = _supervise(child, int(given["parent"]), given["on-death"], gives_way_until=until)
    if os.WIFSIGNALED(status):
        # SIGKILL, by which a machine ends what takes its last memory, can't be set.
        with suppress(OSError):
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    _main(sys.argv[1:])
