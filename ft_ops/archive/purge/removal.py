"""What is to be removed of a month, and what a run did of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from ft_ops.archive.month.content import Content
from ft_ops.archive.month.relation import Relation
from ft_ops.archive.month.units import RemovalProgress, Units
from ft_ops.archive.move.detach import Erased, forget_erased
from ft_ops.archive.run import Run
from ft_ops.months import Month
from ft_ops.pg.locks import with_escalating_lock_timeout
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class Removal:
    """What is to be removed: by the units that were proven, from a table that stands alone.

    ``content`` is what the units' hashes were made of. ``done`` is how far earlier runs have come;
    ``record`` notes in each batch's transaction the id with which it ends. ``generation`` or
    ``thaw`` says whose rows they are.
    """

    month: Month
    table: Relation
    content: Content
    units: Units
    done: RemovalProgress
    record: Callable[[UUID], None]
    generation: int | None = None
    thaw: int | None = None

    @property
    def what(self) -> str:
        return f"removal of {self.month}"


@dataclass(frozen=True, slots=True)
class Removed:
    """Segments that this run removed, and those that it looked at and kept.

    ``done`` is how far it has come, earlier runs included. ``stopped`` says why it did not get to
    the end, if it did not; ``tables_changed``: because of a migration.
    """

    segments: int
    kept: int
    done: RemovalProgress
    stopped: str = ""
    tables_changed: bool = False


def forget_erased_rows(run: Run, removal: Removal) -> Erased:
    """Delete the rows of threads that were erased in the instant of the detach.

    Before anybody can hold them, and before a copy is made, whose foreign keys refuse them.
    """

    def forget() -> Erased:
        with run.connection.transaction():
            return forget_erased(run.connection, removal.month, removal.table)

    return with_escalating_lock_timeout(run.connection, removal.what, forget, sleep=run.sleep)


def has_kept(run: Run, removal: Removal) -> bool:
    """Whether this run or an earlier one has looked at a segment of this removal and kept it."""
    [[found]] = run.connection.execute(
        statement("archive/has_kept"),
        {
            "month": removal.month.first_day,
            "generation": removal.generation,
            "thaw": removal.thaw,
        },
    ).fetchall()
    return bool(found)


def forget_kept(run: Run, removal: Removal) -> None:
    """Forget which segments stay, in the transaction that gives them a table of their own."""
    run.connection.execute(
        statement("archive/forget_kept"),
        {
            "month": removal.month.first_day,
            "generation": removal.generation,
            "thaw": removal.thaw,
        },
    )
