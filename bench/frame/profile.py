"""Where the time of one piece of work goes: by looking, every few milliseconds, at what it does."""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from ft_ops.pg.server import Server
from ft_ops.sandbox.stores import moto_server

MAIN_THREAD: Final = threading.main_thread().name
_SAMPLING_SECONDS: Final = 0.005
_MOST_PARTS: Final = 8
_S3_SERVER: Final = moto_server.__name__
POSTGRESQL: Final = "PostgreSQL itself"
_SESSIONS: Final = {"ft_app": "the application's sessions", "ft_ops": "the operations' sessions"}
_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Profile:
    """Of one repetition.

    ``parts`` are seconds on the wall of the thread that was watched, by the innermost function of
    ft_ops and the one that it had called into, the largest first. ``core_seconds`` are those of
    all processors, by who spent them: they add up to more than the wall's where several work.
    """

    parts: Mapping[str, float]
    core_seconds: Mapping[str, float]

    @property
    def told(self) -> str:
        spent = ", ".join(f"{s:.1f} {who}" for who, s in self.core_seconds.items() if s >= 0.05)
        wall = sum(self.parts.values())
        return f"core-seconds of one of {wall:.1f} s on {os.cpu_count()} cores: {spent}"


def profile(action: Callable[[], object], server: Server, *, worker: str = MAIN_THREAD) -> Profile:
    """Profile one call. While a thread named ``worker`` lives, it is what is watched.

    ``server`` is the PostgreSQL that works for the call; the sandbox's S3 is a child of ours.
    """
    before = core_seconds(server)
    over = threading.Event()
    parts: dict[str, float] = defaultdict(float)
    sampler = threading.Thread(target=_sample, args=(worker, parts, over))
    sampler.start()
    try:
        action()
    finally:
        over.set()
        sampler.join()
    after = core_seconds(server)
    return Profile(_largest(parts), {who: spent - before[who] for who, spent in after.items()})


def _sample(worker: str, parts: dict[str, float], over: threading.Event) -> None:
    last = time.perf_counter()
    while not over.wait(_SAMPLING_SECONDS):
        now = time.perf_counter()
        names = {thread.name: thread.ident for thread in threading.enumerate()}
        ident = names.get(worker, names[MAIN_THREAD])
        frame = sys._current_frames().get(ident or 0)
        if frame is not None:
            parts[_part(frame)] += now - last
        last = now


def _part(frame: FrameType) -> str:
    """The innermost function of ft_ops, and what it waits for or works in."""
    called = ""
    for at in _stack(frame):
        module = str(at.f_globals.get("__name__", ""))
        if module.startswith("ft_ops."):
            return f"`{module.removeprefix('ft_ops.')}.{at.f_code.co_name}`{called}"
        called = f" → `{module.partition('.')[0]}.{at.f_code.co_name}`"
    return "elsewhere"


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _largest(parts: dict[str, float]) -> dict[str, float]:
    ordered = sorted(parts.items(), key=lambda part: part[1], reverse=True)
    found = dict(ordered[:_MOST_PARTS])
    if rest := sum(seconds for _, seconds in ordered[_MOST_PARTS:]):
        found["the rest"] = rest
    return found


def core_seconds(server: Server) -> dict[str, float]:
    """What each has spent of all processors so far, in seconds; differences are what counts.

    Sessions that have ended are counted as PostgreSQL's own.
    """
    postmaster = int((server.data_dir / "postmaster.pid").read_text("ascii").split()[0])
    processes = {process.pid: process for process in _processes()}
    us = os.getpid()
    spent = dict.fromkeys((*_SESSIONS.values(), POSTGRESQL), 0.0)
    for process in processes.values():
        if postmaster in (process.pid, process.parent):
            spent[_SESSIONS.get(_session_user(process.pid), POSTGRESQL)] += process.seconds
        if process.pid == postmaster:
            spent[POSTGRESQL] += process.seconds_of_ended
    spent["this process"] = time.process_time()
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent["the programs that it ran"] = ended.ru_utime + ended.ru_stime
    for who, is_load in (("pgbench", True), ("the S3 server", False)):
        spent[who] = sum(
            process.seconds
            for process in processes.values()
            if _descends(process, us, processes) and (process.name == "pgbench") == is_load
        )
    return spent


def s3_servers() -> list[int]:
    """The sandboxes' S3 servers that live now, by process."""
    processes = {process.pid: process for process in _processes()}
    return [
        process.pid
        for process in processes.values()
        if _descends(process, os.getpid(), processes) and _S3_SERVER in _command(process.pid)
    ]


def _session_user(pid: int) -> str:
    """``ft_app`` of ``postgres: ft_app bench_1 [local] idle``; empty for other processes."""
    words = _command(pid).split()
    return words[1] if len(words) > 1 and words[0] == "postgres:" else ""


def _command(pid: int) -> str:
    """How a process was started, or what it calls itself; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


@dataclass(frozen=True, slots=True)
class _Process:
    name: str
    pid: int
    parent: int
    seconds: float
    seconds_of_ended: float


def _processes() -> Iterator[_Process]:
    """Every process that there is, by the kernel's /proc/PID/stat."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        # The name, in parentheses, may hold anything; the state and the parent follow it.
        before, _, after = text.rpartition(")")
        name, fields = before.partition("(")[2], after.split()
        user, system, ended_user, ended_system = (int(f) / _TICKS_A_SECOND for f in fields[11:15])
        yield _Process(
            name, int(folder.name), int(fields[1]), user + system, ended_user + ended_system
        )


def _descends(process: _Process, ancestor: int, processes: Mapping[int, _Process]) -> bool:
    parent: _Process | None = process
    while parent is not None and parent.parent != ancestor:
        parent = processes.get(parent.parent)
    return parent is not None
