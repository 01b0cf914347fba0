"""Runs a program that ends with us, and that can write to nothing but what it is given.

The command that `supervised` makes runs this very module, with nothing beside it but the standard
library: it starts the program as its child, ends it when whoever started it is gone (`kill -9`
included), and hands its exit status on. It stands twice, the one below the other: when one of them
is killed, what the program has started falls to the other, which ends it. Where the kernel has
Landlock, the program and everything it starts can change no file outside its folders, whoever it
runs as and wherever a link leads it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NoReturn

from ft_ops.pg.supervision.walls import Walls, WallsError, confine, connect_to_nobody, prctl

OnDeath = Literal["kill", "quit"]
"""``kill``: the whole process group at once. ``quit``: SIGQUIT, on which PostgreSQL's postmaster
ends its server; what is left after that is killed."""

LOWEST_PRIORITY: Final = 19
"""The nice value of whom everybody else goes before."""
_LOW_PRIORITY: Final = 10
"""A tenth of an equal share: for whom nobody may take the lowest back, and who has to end."""

_SET_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 1, 36  # prctl(2)
_PROCESSES: Final = Path("/proc")

_ENDINGS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""By which people and service managers end a process."""

_POLL_SECONDS: Final = 1.0
_QUIT_SECONDS: Final = 4.0


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
    disks; from then on it has an equal share, so that it ends on a busy machine, too. Both count
    among those of its own control group: what a container or a service gets is said elsewhere.
    """
    arguments = [f"--parent={os.getpid()}", f"--on-death={on_death}"]
    arguments += [f"--gives-way={gives_way_seconds}"] if gives_way_seconds > 0 else []
    if walls is not None:
        arguments += [f"--write={folder}" for folder in walls.folders]
        arguments += [] if walls.network else ["--no-network"]
        arguments += ["--own-servers"] if walls.own_servers else []
        if walls.user is not None:
            arguments.append("--user={}:{}".format(*walls.user))
    # No package of the environment is looked at, but for this one.
    return [sys.executable, "-I", "-S", "-c", _SUPERVISE, *arguments, "--", *command]


_SUPERVISE: Final = (
    f"import sys; sys.path.append({str(Path(__file__).parents[3])!r}); "
    f"from {__name__} import main; main(sys.argv[1:])"
)


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
            confine(folders, network=network)
        if not network and not own_servers:
            connect_to_nobody()
        # It is cleared when the user changes, so it comes after that.
        prctl(_SET_DEATH_SIGNAL, signal.SIGQUIT if on_death == "quit" else signal.SIGKILL)
        if os.getppid() != supervisor:
            _give_up("its supervisor is gone")
        os.execv(command[0], list(command))
    except WallsError as error:
        _give_up(str(error))
    except OSError as error:
        _give_up(f"{command[0]}: {error.strerror}")


def _supervise(child: int, parent: int, on_death: str, *, gives_way_until: float | None) -> int:
    """Wait for the child; end it once ``parent`` is not ours any more. Returns its status."""

    def end(*_: object) -> None:
        # Once: who asks again, as each look and the other supervisor do, would begin its time anew.
        _hear_nobody()
        if on_death == "quit":
            # It may have ended, and been waited for, at this very moment.
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(child, signal.SIGQUIT)
                until = time.monotonic() + _QUIT_SECONDS
                while time.monotonic() < until and os.waitpid(child, os.WNOHANG) == (0, 0):
                    time.sleep(_POLL_SECONDS / 20)
        _end_descendants()
        os.killpg(0, signal.SIGKILL)

    manners = _Manners(gives_way_until)

    def look(*_: object) -> None:
        if os.getppid() != parent:
            end()
        manners.keep()

    for number in _ENDINGS:
        signal.signal(number, end)
    signal.signal(signal.SIGALRM, look)
    # Where the kernel tells nobody of a parent's death, it is seen by looking.
    signal.setitimer(signal.ITIMER_REAL, _POLL_SECONDS, _POLL_SECONDS)
    prctl(_SET_DEATH_SIGNAL, signal.SIGTERM)
    look()
    status = os.waitpid(child, 0)[1]
    # Its number may soon be somebody else's, and the rest is being ended already.
    _hear_nobody()
    _end_descendants()
    return status


def _hear_nobody() -> None:
    for number in (signal.SIGALRM, *_ENDINGS):
        signal.signal(number, signal.SIG_IGN)


@dataclass(slots=True)
class _Manners:
    """Gives way until a moment of the monotonic clock, and takes an equal share from then on.

    ``placed`` is the place that our session was given: whoever gives it another one meanwhile is
    not corrected.
    """

    until: float | None
    placed: int = 0

    def keep(self) -> None:
        """Asked each second. A session that is not ours alone is left as it is."""
        if self.until is None or os.getsid(0) != os.getpid():
            return
        if time.monotonic() < self.until:
            self._place(LOWEST_PRIORITY)
            return
        self._place(0)
        # Where this is not allowed, the program did not take the lowest place.
        with suppress(OSError):
            os.setpriority(os.PRIO_PGRP, 0, os.getpriority(os.PRIO_PROCESS, 0))
        # Who was being started meanwhile has its parent's policy, and is found the next time.
        if _take_policy_back() == 0 and self.placed == 0:
            self.until = None

    def _place(self, place: int) -> None:
        """Let our session have a nice value among the machine's sessions.

        Linux shares processors between sessions first (autogroups, sched(7)); a program's own value
        counts within its session alone.
        """
        if place == self.placed:
            return
        # Others have none. Linux takes ten a second from everybody together: it is tried again.
        with suppress(OSError):
            with open("/proc/self/autogroup", "w", encoding="ascii") as file:  # noqa: PTH123
                file.write(str(place))
            self.placed = place


def _give_way() -> None:
    """Let others go first, for disks, too: Linux takes one's place there from this.

    The lowest place is for whom it may be taken back; who runs as root in a container often can't.
    Linux counts a processor on which only SCHED_IDLE works as a free one, and gives it at once to
    whoever wakes up: a nice value alone lets him wait behind somebody else instead.
    """
    with suppress(OSError):  # a container may forbid all of it
        os.nice(1)
        try:
            os.nice(-1)
        except OSError:
            os.nice(_LOW_PRIORITY - 1)
            return
        os.nice(LOWEST_PRIORITY)
    if _goes_in_turn() and _PROCESSES.is_dir():  # or it could not be taken back
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _goes_in_turn() -> bool:
    """Whether we are scheduled as most are: whom a person gave another policy, he keeps it."""
    with suppress(OSError):  # a container may forbid the question
        return sys.platform == "linux" and os.sched_getscheduler(0) == os.SCHED_OTHER
    return False


def _take_policy_back() -> int:
    """Let our group's threads go in turn with everybody; how many did not yet."""
    if not _goes_in_turn():
        return 0
    try:
        threads = list(_PROCESSES.glob("[0-9]*/task/[0-9]*"))
    except OSError:
        return 1  # a process ended while its folder was read, as Python 3.11 tells: look again
    found = 0
    for folder in threads:
        with suppress(OSError):  # it has ended meanwhile
            if os.getpgid(int(folder.parts[2])) != os.getpgrp():
                continue
            thread = int(folder.name)
            if os.sched_getscheduler(thread) == os.SCHED_IDLE:
                found += 1
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
    return found


def _end_descendants() -> None:
    """Kill what lives below us, generation by generation: orphans become our own children.

    Who became another user, as sudo does, is not ours to end, and no reason to spare the others.
    """
    spared: set[int] = set()
    while children := [child for child in _children_of(os.getpid()) if child not in spared]:
        waiting = list(children)
        while waiting:
            pid = waiting.pop()
            waiting += _children_of(pid)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            except PermissionError:
                spared.add(pid)
        for pid in children:
            if pid not in spared:
                with suppress(ChildProcessError):
                    os.waitpid(pid, 0)


def _children_of(pid: int) -> list[int]:
    """Whom a process has started or taken over; empty where the kernel does not tell."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:  # noqa: PTH123
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def main(arguments: Sequence[str]) -> NoReturn:
    """Be the supervisor: what `supervised` says, and behind -- the program."""
    options, command = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    named = [option[2:].partition("=") for option in options]
    folders = [value for name, _, value in named if name == "write"]
    given = {name: value for name, _, value in named}
    # Whoever starts us may hold signals back, and so would we and the program.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    prctl(_SET_CHILD_SUBREAPER, 1)
    until = time.monotonic() + float(given["gives-way"]) if "gives-way" in given else None
    outer = os.getpid()
    second = os.fork()
    if second != 0:
        _hand_on(_watch(second, int(given["parent"]), given["on-death"], gives_way_until=until))
    prctl(_SET_CHILD_SUBREAPER, 1)  # a child is none
    me = os.getpid()
    child = os.fork()
    if child == 0:
        if "gives-way" in given:
            _give_way()
        _run(
            command,
            folders,
            given.get("user"),
            network="no-network" not in given,
            own_servers="own-servers" in given,
            on_death=given["on-death"],
            supervisor=me,
        )
    _hand_on(_watch(child, outer, given["on-death"], gives_way_until=None))


def _watch(child: int, parent: int, on_death: str, *, gives_way_until: float | None) -> int:
    """`_supervise`, with nothing open of what the program reads and writes."""
    # The reader of the program's output sees its end when the program closes it.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    return _supervise(child, parent, on_death, gives_way_until=gives_way_until)


def _hand_on(status: int) -> NoReturn:
    """End as the child did."""
    if os.WIFSIGNALED(status):
        # SIGKILL, by which a machine ends what takes its last memory, can't be set.
        with suppress(OSError):
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status))
