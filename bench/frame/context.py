"""What a benchmark works on: one sandbox for all of them, and databases filled once."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from pathlib import Path

from psycopg import sql

from bench.frame.fill import fill
from ft_ops.months import Month
from ft_ops.partitions import PARENTS, ensure_months
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import sql_root
from ft_ops.s3.bucket import Bucket, open_bucket
from ft_ops.sandbox import Sandbox, sandbox
from ft_ops.sandbox.sample import SamplePlan, Span
from ft_ops.schema import load_migrations, run_migrations

SEED = 7
FIRST_MONTH = Month(2017, 1)
BACKED_UP_MONTHS = 2
BACKED_UP_SHARE = 10
"""Of the families: what is backed up is the content, and families take long to make."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much data a run uses. A month's segments and the families are those of one template."""

    months: int
    segments_per_month: int
    families: int
    repetitions: int

    @property
    def segments(self) -> int:
        return self.months * self.segments_per_month


FULL = Sizes(months=12, segments_per_month=150_000, families=10_000, repetitions=3)
QUICK = Sizes(months=3, segments_per_month=5_000, families=200, repetitions=1)


@dataclass(frozen=True, slots=True)
class Template:
    """A filled database that is never changed: it is read, or cloned."""

    name: str
    url: str
    first: Month
    last: Month
    segments_per_month: int

    @property
    def months(self) -> int:
        return len(list(self.first.until(self.last)))

    @property
    def size(self) -> str:
        return f"{self.segments_per_month:,} segments a month, {self.months} months"


@contextmanager
def log_discarded(admin_url: str) -> Iterator[None]:
    """Let a server archive no WAL for a block.

    A sandbox archives into a folder for the backups to ship; where none is taken nobody empties
    it, and a full run's log is tens of gigabytes.
    """
    with connect(admin_url, application="bench") as admin:
        row = one_row(admin.execute("SHOW archive_command"))
    _set_archive_command(admin_url, "true")
    try:
        yield
    finally:
        # Not ALTER SYSTEM RESET: the sandbox's own value stands in the same file.
        _set_archive_command(admin_url, row[0])


def _set_archive_command(admin_url: str, command: str) -> None:
    with connect(admin_url, application="bench") as admin:
        admin.execute(sql.SQL("ALTER SYSTEM SET archive_command = {}").format(sql.Literal(command)))
        admin.execute("SELECT pg_reload_conf()")


@dataclass
class BenchContext:
    """Handed to every benchmark of a run."""

    sizes: Sizes
    is_quick: bool
    work_dir: Path
    _stack: ExitStack
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _began: float = field(default_factory=time.monotonic)

    def log(self, line: str) -> None:
        print(f"{time.monotonic() - self._began:7.1f} s  {line}", flush=True)

    @cached_property
    def sandbox(self) -> Sandbox:
        """The PostgreSQL and S3 of this run; started when the first benchmark asks.

        The environment of this process, and so of its children, points at it from then on.
        """
        box = self._stack.enter_context(sandbox(announce=self.log))
        self._stack.enter_context(log_discarded(box.admin_url))
        environment = box.child_environment(os.environ)
        os.environ.clear()
        os.environ.update(environment)
        return box

    @cached_property
    def backed_up(self) -> Sandbox:
        """A second sandbox, for what concerns backups: a base backup takes all of a server.

        Its application's database has a few months of the run's size; the log is archived from
        then on. The environment does not point at it.
        """
        box = self._stack.enter_context(sandbox(announce=self.log))
        with (
            log_discarded(box.admin_url),
            connect(box.database_url, application="bench") as connection,
        ):
            run_migrations(connection, load_migrations())
            few = self.sizes.families // BACKED_UP_SHARE
            self.fill_content(
                connection, replace(self.sizes, months=BACKED_UP_MONTHS, families=few)
            )
        with connect(box.admin_url, application="bench") as admin:
            admin.execute("CHECKPOINT")
        return box

    @cached_property
    def bucket(self) -> Bucket:
        """The sandbox's archive bucket."""
        return open_bucket(self.sandbox.archive_bucket)

    @property
    def machine(self) -> str:
        """The processors, memory, system and server behind the numbers, in one line."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        return (
            f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} "
            f"{platform.machine()}, Python {platform.python_version()}"
        )

    @cached_property
    def template(self) -> Template:
        """A database with the schema and the run's sample content from 2017-01 on."""
        name = "bench_template"
        self._create_with_schema(name)
        with connect(self._url(name), application="bench") as connection:
            last = self.fill_content(connection, self.sizes)
            connection.execute("CHECKPOINT")
        return Template(name, self._url(name), FIRST_MONTH, last, self.sizes.segments_per_month)

    @contextmanager
    def clone(self, template: Template) -> Iterator[str]:
        """The URL, as the operations role, of a copy of ``template`` for a block to change."""
        name = f"bench_{next(self._numbers)}"
        self._create(name, template.name)
        try:
            yield self._url(name)
        finally:
            self._drop(name)

    @contextmanager
    def empty_database(self) -> Iterator[str]:
        """The URL, as the operations role, of a database that has the schema and no content."""
        name = f"bench_{next(self._numbers)}"
        self._create_with_schema(name)
        try:
            yield self._url(name)
        finally:
            self._drop(name)

    @contextmanager
    def sample_database(self, sizes: Sizes) -> Iterator[str]:
        """The URL, as the operations role, of a database of its own with content of these sizes."""
        name = f"bench_{next(self._numbers)}"
        self._create_with_schema(name)
        try:
            with connect(self._url(name), application="bench") as connection:
                self.fill_content(connection, sizes)
            yield self._url(name)
        finally:
            self._drop(name)

    def fill_content(self, connection: Connection, sizes: Sizes) -> Month:
        """Make the sample in a database with the schema, from the first month on; the last one."""
        last = FIRST_MONTH.plus(sizes.months - 1)
        self.log(f"filling {sizes.months} months of {sizes.segments_per_month:,} segments")
        for parent in PARENTS:
            ensure_months(connection, parent, FIRST_MONTH.until(last))
        fill(
            connection.info.dsn,
            SamplePlan(
                families=sizes.families,
                spans=tuple(Span(m, m.start, m.end) for m in FIRST_MONTH.until(last)),
                segments_per_month=sizes.segments_per_month,
                seed=SEED,
            ),
        )
        # Hint bits and the visibility map: the first reader would pay for them otherwise.
        connection.execute("VACUUM ANALYZE")
        self.log("filled")
        return last

    def _create_with_schema(self, name: str) -> None:
        self._create(name, "template0")
        with connect(self.sandbox.server.url(name), application="bench") as admin:
            admin.execute((sql_root() / "roles" / "bootstrap.sql").read_bytes())
            admin.execute("GRANT pg_checkpoint TO ft_ops")
        with connect(self._url(name), application="bench") as connection:
            run_migrations(connection, load_migrations())

    def _url(self, database: str) -> str:
        return self.sandbox.server.url(database, user="ft_ops")

    def _create(self, name: str, template: str) -> None:
        with connect(self.sandbox.admin_url, application="bench") as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy OWNER ft_ops").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )

    def _drop(self, name: str) -> None:
        with connect(self.sandbox.admin_url, application="bench") as admin:
            admin.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )
