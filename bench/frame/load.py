"""The application at work while a job runs: pgbench at a fixed rate, and what it had to wait for.

Reads and writes of the product, as the application's role under row level security. A latency
counts from the moment that its transaction was due, so a stall is not hidden by the transactions
that it kept from starting.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg
from psycopg import conninfo

from bench.frame.profile import core_seconds
from ft_ops.pg.connect import connect
from ft_ops.pg.rows import one_row
from ft_ops.pg.server import Server
from ft_ops.pg.sqlfiles import sql_root
from ft_ops.sandbox import Sandbox

PER_SECOND: Final = 50
"""Transactions that the application begins in a second: what two cores serve beside a job."""

_CLIENTS: Final = 8
_SAMPLING_SECONDS: Final = 0.01
_HOUR: Final = 3600

_WAITS: Final = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - l.waitstart)) * 1000, 0)
FROM pg_locks AS l
JOIN pg_stat_activity AS a USING (pid)
WHERE NOT l.granted AND a.application_name = 'pgbench'
"""

_PREPARE: Final = """
CREATE SCHEMA IF NOT EXISTS bench;
DROP TABLE IF EXISTS bench.people;
CREATE TABLE bench.people AS
SELECT
    row_number() OVER (ORDER BY md5(chosen.user_id::text))::integer AS n,
    chosen.user_id,
    chosen.family_id,
    chosen.thread_id
FROM (
    SELECT DISTINCT ON (fm.user_id) fm.user_id, fm.family_id, t.id AS thread_id
    FROM family_members AS fm
    JOIN memory_books AS mb ON mb.family_id = fm.family_id
    JOIN threads AS t ON t.memory_book_id = mb.id
    WHERE fm.is_active AND fm.role IN ('owner', 'admin', 'editor', 'member')
    ORDER BY fm.user_id, md5(t.id::text)
) AS chosen
ORDER BY n
LIMIT 1000;
ALTER TABLE bench.people ADD PRIMARY KEY (n);
ANALYZE bench.people;
GRANT USAGE ON SCHEMA bench TO ft_app, ft_ops;
GRANT SELECT ON bench.people TO ft_app, ft_ops;
"""

_TAGS: Final = "ARRAY['summer', 'grandma', 'christmas']"


def _query(name: str, **values: str) -> str:
    """A product query with its $1, $2 in pgbench's spelling."""
    text = (sql_root() / "queries" / f"{name}.sql").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    query = "\n".join(lines)
    for parameter, value in values.items():
        query = query.replace(f"${parameter.removeprefix('p')}", value)
    return query


_WRITE_SEGMENT: Final = """
INSERT INTO content_segments (thread_id, user_id, content_type, sequence_number, text_content)
VALUES (:thread_id, :user_id, 'text', :sequence, repeat('a day at the lake ', 28));
"""
_TAG_SEGMENT: Final = """
INSERT INTO content_tags (content_segment_id, tag_name, tagged_by)
SELECT cs.id, 'tag ' || :sequence, :user_id
FROM content_of_thread(:thread_id) AS cs
ORDER BY cs.created_at DESC
LIMIT 1;
"""
"""As docs/corrections.md asks an application to read a thread whose months it does not know."""
_RENAME_THREAD: Final = """
UPDATE threads SET title = 'title ' || :sequence WHERE id = :thread_id;
"""
_LEAVE_TRAIL: Final = """
INSERT INTO audit_log (user_id, action, table_name, record_id)
VALUES (:user_id, 'read', 'threads', :thread_id);
"""


def scripts() -> dict[str, tuple[int, str]]:
    """pgbench's scripts with their weights: two reads to a write."""
    return {
        "read_thread": (40, _query("thread_with_content", p1=":thread_id")),
        "list_books": (15, _query("family_memory_books", p1=":family_id")),
        "search": (10, _query("search_by_tags", p1=":user_id", p2=_TAGS)),
        "write_segment": (15, _WRITE_SEGMENT),
        "tag_segment": (5, _TAG_SEGMENT),
        "rename_thread": (10, _RENAME_THREAD),
        "leave_trail": (5, _LEAVE_TRAIL),
    }


_REQUEST: Final = """\\set n random(1, :people)
\\set sequence random(1000000000, 2000000000)
SELECT user_id, family_id, thread_id FROM bench.people WHERE n = :n \\gset
BEGIN;
SELECT set_config('app.current_user_id', :user_id, true);
{statement}
END;
"""
"""One request of one person, in the transaction in which the application says who he is."""


@dataclass(frozen=True, slots=True)
class Window:
    """What the application saw between two moments. Milliseconds."""

    seconds: float
    latencies: tuple[float, ...]
    longest_lock_wait: float
    errors: int

    def percentile(self, percent: int) -> float:
        """The latency that so many percent of the transactions did not exceed."""
        if len(self.latencies) == 1:  # a small run may be over before a second request
            return self.latencies[0]
        return statistics.quantiles(self.latencies, n=100, method="inclusive")[percent - 1]


@dataclass(slots=True)
class ApplicationLoad:
    """A running load; `window` marks the time of a block, `report` tells of it afterwards.

    Windows may overlap: a part of a job is one, and so is the whole.
    """

    server: Server
    _marks: dict[str, tuple[float, float]] = field(default_factory=dict)
    _spent: dict[str, Mapping[str, float]] = field(default_factory=dict)
    _latencies: list[tuple[float, float]] = field(default_factory=list)
    _waits: list[tuple[float, float]] = field(default_factory=list)
    _errors: int = 0

    @contextmanager
    def window(self, name: str) -> Iterator[None]:
        before, began = core_seconds(self.server), time.time()
        try:
            yield
        finally:
            self._marks[name] = (began, time.time())
            after = core_seconds(self.server)
            self._spent[name] = {who: spent - before[who] for who, spent in after.items()}

    def report(self, *names: str) -> Window:
        """Of one window, or of several taken together; after the load has ended."""
        spans = [self._marks[name] for name in names]

        def inside(moment: float) -> bool:
            return any(began <= moment <= ended for began, ended in spans)

        return Window(
            seconds=sum(ended - began for began, ended in spans),
            latencies=tuple(ms for moment, ms in self._latencies if inside(moment)),
            longest_lock_wait=max(
                (ms for moment, ms in self._waits if inside(moment)), default=0.0
            ),
            errors=self._errors,
        )

    def spent(self, *names: str) -> dict[str, float]:
        """Seconds of all processors in these windows, by who spent them, and what was left."""
        found: dict[str, float] = defaultdict(float)
        for name in names:
            for who, seconds in self._spent[name].items():
                found[who] += seconds
        wall = sum(ended - began for began, ended in (self._marks[name] for name in names))
        found["nobody"] = max(0.0, wall * (os.cpu_count() or 1) - sum(found.values()))
        return {who: seconds for who, seconds in found.items() if seconds}


@contextmanager
def application_load(box: Sandbox, folder: Path, url: str) -> Iterator[ApplicationLoad]:
    """The application at work in the database of ``url``, on that sandbox's server, for a block.

    ``folder`` takes pgbench's scripts and its log, which goes with the block.
    """
    people = prepare_load(url)
    load = ApplicationLoad(box.server)
    stop = threading.Event()
    with tempfile.TemporaryDirectory(prefix="load-", dir=folder) as name:
        prefix = Path(name) / "log"
        command = [str(box.bin_dir / "pgbench"), "--no-vacuum", "--log", f"--log-prefix={prefix}"]
        command += [f"--client={_CLIENTS}", f"--rate={PER_SECOND}", f"--time={_HOUR}"]
        command += ["--protocol=prepared", f"--define=people={people}", *write_scripts(Path(name))]
        target = conninfo.make_conninfo(url, user="ft_app", application_name="pgbench")
        with (Path(name) / "errors").open("w+") as errors:
            process = subprocess.Popen([*command, target], stdout=subprocess.DEVNULL, stderr=errors)
            sampler = threading.Thread(target=_sample, args=(url, load, stop))
            sampler.start()
            try:
                yield load
                _await_log(prefix, process, time.time())
            finally:
                stop.set()
                sampler.join()
                process.terminate()
                process.wait()
                load._latencies += _read_log(prefix)
                errors.seek(0)
                load._errors += sum("ERROR" in line or "aborted" in line for line in errors)


def write_scripts(folder: Path) -> Iterator[str]:
    """The arguments by which pgbench runs the scripts that this leaves in the folder."""
    for name, (weight, statement) in scripts().items():
        path = folder / f"{name}.sql"
        path.write_text(_REQUEST.format(statement=statement), encoding="utf-8")
        yield f"--file={path}@{weight}"


def prepare_load(url: str) -> int:
    """Number some people, each with a family and a thread, for pgbench's random(); how many."""
    with connect(conninfo.make_conninfo(url, user="postgres"), application="bench") as admin:
        admin.execute(_PREPARE)
        row = one_row(admin.execute("SELECT count(*) FROM bench.people"))
        return int(row[0])


def _sample(url: str, load: ApplicationLoad, stop: threading.Event) -> None:
    """Look for the application's lock waits until told to stop."""
    with psycopg.connect(conninfo.make_conninfo(url, user="postgres"), autocommit=True) as watcher:
        while not stop.wait(_SAMPLING_SECONDS):
            row = one_row(watcher.execute(_WAITS, prepare=True))
            if row[0]:
                load._waits.append((time.time(), float(row[0])))


def _await_log(prefix: Path, process: subprocess.Popen[bytes], moment: float) -> None:
    """Until pgbench has written what happened by ``moment``: it keeps the last 4 kB back."""
    while process.poll() is None and max((t for t, _ in _read_log(prefix)), default=0.0) < moment:
        time.sleep(0.2)


def _read_log(prefix: Path) -> list[tuple[float, float]]:
    """The end of each transaction, in seconds since 1970, and its latency in milliseconds."""
    found = []
    for path in prefix.parent.glob(f"{prefix.name}.[0-9]*"):
        for line in path.read_text(encoding="ascii").splitlines():
            fields = line.split()
            # A last line that is not complete yet is left out: all of them have seven fields.
            if len(fields) == 7:
                found.append((int(fields[4]) + int(fields[5]) / 1e6, int(fields[2]) / 1000))
    return found
