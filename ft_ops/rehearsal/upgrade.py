"""pg_upgrade on a copy: a new cluster beside it, the check, and the upgrade itself, measured."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ft_ops.backups import ProgramEnd, run_within
from ft_ops.errors import OpsError
from ft_ops.pg import server as pg
from ft_ops.pg.server import Server
from ft_ops.rehearsal.findings import RehearsalFinding

_REPORTS: Final = "pg_upgrade_output.d"
_LISTED: Final = 100
_READ_BYTES: Final = 1 << 20
_CHECKSUMS_BY_DEFAULT_SINCE: Final = 18

_NOT_ABOUT_THE_DATABASE: Final = re.compile(
    r"No space left on device|Cannot allocate memory|could not fork|Too many open files"
    r"|Permission denied|Operation not permitted|Read-only file system|Input/output error"
    r"|server closed the connection unexpectedly|was terminated by signal"
)
"""What keeps a program from its work and says nothing about what it works on."""

_SERVERS_OWN: Final = re.compile(r"\b(?:LOG|HINT):  ")
_COMPLAINT: Final = re.compile(r"(?:ERROR|FATAL|PANIC):|error:|could not |[Ff]ailure|fatal")


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The two clusters of a rehearsal. ``folder`` is all that their programs write to."""

    old: Server
    new: Server
    folder: Path
    superuser: str
    control: Mapping[str, str]
    timeout_seconds: float

    def make_new(self, settings: Mapping[str, str]) -> None:
        """An empty cluster of the new version, of the same form as the old one."""
        arguments = ["--username", self.superuser, "--auth", "trust", "--encoding", "UTF8"]
        arguments += ["--locale", "C", "--no-sync", "--no-instructions"]
        arguments += ["--wal-segsize", str(int(self.control["Bytes per WAL segment"]) >> 20)]
        if self.control.get("Data page checksum version") != "0":
            arguments.append("--data-checksums")
        elif pg.major_version(self.new.bin_dir) >= _CHECKSUMS_BY_DEFAULT_SINCE:
            arguments.append("--no-data-checksums")
        for place in (self.new.data_dir, self._place, self._sockets):
            place.mkdir()
            pg.hand_over(place)
        done = self._run([self.new.bin_dir / "initdb", "-D", self.new.data_dir, *arguments])
        if done.status != 0:
            raise OpsError(
                "a cluster of the new version",
                cause=f"initdb: {done.said.strip()}",
                next_step="see that its programs run on this machine",
            )
        pg.configure(self.new, settings)

    def check(self) -> list[RehearsalFinding]:
        """What pg_upgrade's own check refuses; empty where it agrees. The old server is stopped."""
        return list(self._refusals(self._pg_upgrade("--check")))

    def run(self) -> tuple[float, list[RehearsalFinding]]:
        """Upgrade by hard links: the seconds that took, and what it failed on."""
        began = time.monotonic()
        done = self._pg_upgrade()
        return time.monotonic() - began, list(self._refusals(done))

    @property
    def _place(self) -> Path:
        return self.folder / "upgrade"

    @property
    def _sockets(self) -> Path:
        return self.folder / "sockets"

    def _pg_upgrade(self, *besides: str) -> ProgramEnd:
        # Shared memory in the data folders: /dev/shm has the live server's too.
        memory = "-c dynamic_shared_memory_type=mmap"
        old, new = self.old, self.new
        arguments: list[str | Path] = ["-b", old.bin_dir, "-B", new.bin_dir]
        arguments += ["-d", old.data_dir, "-D", new.data_dir, "-U", self.superuser]
        arguments += ["-o", memory, "-O", memory, "--socketdir", self._sockets, "--link"]
        arguments += ["--jobs", str(os.cpu_count() or 1)]
        return self._run([new.bin_dir / "pg_upgrade", *arguments, *besides])

    def _run(self, command: Sequence[str | Path]) -> ProgramEnd:
        return run_within(
            command, self.folder, at=self._place, timeout_seconds=self.timeout_seconds
        )

    def _refusals(self, done: ProgramEnd) -> Iterator[RehearsalFinding]:
        if done.status == 0:
            return
        reports = list(self._reports())
        said = "\n".join([done.said, *(text for _, text in reports)])
        if done.status < 0 or _NOT_ABOUT_THE_DATABASE.search(said):
            raise OpsError(
                "pg_upgrade",
                cause=f"exit status {done.status}: {_tail(said)}",
                next_step="see to what it names (room, memory, rights), then rehearse again: it "
                "says nothing about the upgrade",
            )
        listed = [
            RehearsalFinding(
                "refuses", path.stem.replace("_", " "), line.strip(), "pg_upgrade lists it"
            )
            for path, text in reports
            if path.suffix == ".txt"
            for line in text.splitlines()[:_LISTED]
            if line.strip() and not line.lower().startswith(("database:", "in database:"))
        ]
        yield from listed
        logged = "\n".join(text for path, text in reports if path.suffix == ".log")
        words = _tail("\n".join([*_complaints(logged), *_complaints(done.said)]) or done.said)
        yield RehearsalFinding("refuses", "pg_upgrade", "the cluster", words)

    def _reports(self) -> Iterator[tuple[Path, str]]:
        """What it wrote down, if nobody has led its files out of the folder meanwhile."""
        top = self.new.data_dir.resolve() / _REPORTS
        for folder, _, names in os.walk(top):
            for name in sorted(names):
                path = Path(folder) / name
                try:
                    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
                except OSError:
                    continue
                with os.fdopen(file, "rb") as opened:
                    yield path, opened.read(_READ_BYTES).decode(errors="replace")


def _complaints(said: str) -> list[str]:
    """The lines that say what went wrong, each once, and those behind a fatal check."""
    lines = said.splitlines()
    fatal = next((n for n, line in enumerate(lines) if line.rstrip().endswith("fatal")), None)
    found = [line.strip() for line in lines if _COMPLAINT.search(line)]
    if fatal is not None:
        found += [
            line.strip()
            for line in lines[fatal + 1 :]
            if line.strip() and not _SERVERS_OWN.search(line)
        ]
    return list(dict.fromkeys(found))


def _tail(said: str, lines: int = 12) -> str:
    return "\n".join(said.strip().splitlines()[-lines:])
