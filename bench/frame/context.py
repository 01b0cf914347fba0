"""What a benchmark works on: one sandbox for all of them, and databases filled once."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path

from psycopg import sql

from ft_ops.months import Month
from ft_ops.partitions import PARENTS, ensure_months
from ft_ops.pg.connect import connect
from ft_ops.pg.sqlfiles import sql_root
from ft_ops.s3.bucket import Bucket, open_bucket
from ft_ops.sandbox import Sandbox, sandbox
from ft_ops.sandbox.sample import make_sample
from ft_ops.schema import load_migrations, run_migrations

SEED = 7
FIRST_MONTH = Month(2017, 1)


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


FULL = Sizes(months=12, segments_per_month=150_000, families=10_000, repetitions=5)
QUICK = Sizes(months=3, segments_per_month=5_000, families=200, repetitions=2)


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
        row = admin.execute("SHOW archive_command").fetchone()
        assert row is not None
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
    _templates: dict[tuple[int, int, int], Template] = field(default_factory=dict)
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

    def template(
        self,
        *,
        months: int | None = None,
        segments_per_month: int | None = None,
        families: int | None = None,
    ) -> Template:
        """A database with the schema and sample content from 2017-01 on; made once a shape.

        Sizes left out are the run's own.
        """
        shape = (
            months or self.sizes.months,
            segments_per_month or self.sizes.segments_per_month,
            families or self.sizes.families,
        )
        if shape not in self._templates:
            self._templates[shape] = self._fill(*shape)
        return self._templates[shape]

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

    def _fill(self, months: int, segments_per_month: int, families: int) -> Template:
        name = f"bench_{months}x{segments_per_month}_{families}"
        first, last = FIRST_MONTH, FIRST_MONTH.plus(months - 1)
        self.log(f"filling {months} months of {segments_per_month:,} segments")
        self._create_with_schema(name)
        with connect(self._url(name), application="bench") as connection:
            for parent in PARENTS:
                ensure_months(connection, parent, first.until(last))
            make_sample(
                connection,
                families=families,
                first=first,
                last=last,
                segments_per_month=segments_per_month,
                seed=SEED,
                progress=lambda line: None,
            )
            # Hint bits and the visibility map: the first reader would pay for them otherwise.
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")
        self.log("filled")
        return Template(name, self._url(name), first, last, segments_per_month)

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
