"""What VACUUM and ANALYZE say of a table, and what it means.

A vacuum that could do little succeeds with a WARNING, and most warnings share one SQLSTATE. So each
is told from the others by its text, or by the function of the server that says it: that name is
the same in every language of the server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

from psycopg.errors import Diagnostic, LockNotAvailable, UndefinedTable

from ft_ops.pg.connect import Connection

Meaning = Literal[
    "locked", "gone", "denied", "old horizon", "failsafe", "not truncated", "damage", "other"
]

_PAGES = re.compile(r"pages: \d+ removed, (\d+) remain, (\d+) scanned")
_TUPLES = re.compile(r"tuples: (\d+) removed, \d+ remain, (\d+) are dead but not yet removable")
_CUTOFF = re.compile(r"removable cutoff: (\d+),")
_FROZEN = re.compile(r"frozen: (\d+) pages from table")
_WAL = re.compile(r"WAL usage: .*?(\d+) bytes")

_TEXTS: Final[tuple[tuple[Meaning, str], ...]] = (
    ("denied", r"permission denied to (vacuum|analyze)|only .* can (vacuum|analyze) it"),
    ("old horizon", r"cutoff for .* is far in the past|oldest (xmin|multixact) is far in the past"),
    ("failsafe", r"as a failsafe"),
    ("not truncated", r"truncate due to conflicting lock"),
    ("damage", r"visibility map bit|PD_ALL_VISIBLE|is uninitialized|versions, but table contains"),
    ("damage", r"invalid page|is damaged|corrupt"),
)
_FUNCTIONS: Final[dict[str, Meaning]] = {
    "vacuum_is_permitted_for_relation": "denied",
    "vacuum_is_relation_owner": "denied",
    "vacuum_get_cutoffs": "old horizon",
    "vacuum_set_xid_limits": "old horizon",
    "lazy_check_wraparound_failsafe": "failsafe",
    "lazy_truncate_heap": "not truncated",
    "count_nondeletable_pages": "not truncated",
}
_STATES: Final[dict[str | None, Meaning]] = {
    LockNotAvailable.sqlstate: "locked",
    UndefinedTable.sqlstate: "gone",
}
_DAMAGE_CLASS: Final = "XX"


@dataclass(frozen=True, slots=True)
class Figures:
    """What VACUUM (VERBOSE) says of a table and its TOAST table; None where it said nothing.

    ``cutoff`` is the transaction id from which on it may have left dead rows and ids as they are.
    """

    pages: int | None = None
    pages_scanned: int | None = None
    pages_frozen: int | None = None
    dead_removed: int | None = None
    dead_kept: int | None = None
    wal_bytes: int | None = None
    cutoff: int | None = None


NOTHING_SAID: Final = Figures()


@dataclass(frozen=True, slots=True)
class Notice:
    """One message of the server; ``function`` is the one of its source that says it."""

    severity: str
    sqlstate: str
    text: str
    function: str = ""

    @property
    def meaning(self) -> Meaning | None:
        """What it means for the table; None of a message that only informs."""
        if "truncate" in self.text and self._known == "not truncated":
            return "not truncated"
        if self.severity != "WARNING":
            return None
        return self._known or "other"

    @property
    def _known(self) -> Meaning | None:
        if self.sqlstate in _STATES:
            return _STATES[self.sqlstate]
        if self.sqlstate.startswith(_DAMAGE_CLASS):
            return "damage"
        if self.function in _FUNCTIONS:
            return _FUNCTIONS[self.function]
        return next((meaning for meaning, text in _TEXTS if re.search(text, self.text)), None)


@contextmanager
def notices_of(connection: Connection) -> Iterator[list[Notice]]:
    """What the server says during a block, in order."""
    notices: list[Notice] = []

    def keep(notice: Diagnostic) -> None:
        # A Diagnostic is empty once its handler has returned.
        notices.append(
            Notice(
                notice.severity_nonlocalized or "",
                notice.sqlstate or "",
                notice.message_primary or "",
                notice.source_function or "",
            )
        )

    connection.add_notice_handler(keep)
    try:
        yield notices
    finally:
        connection.remove_notice_handler(keep)


def figures(notices: Sequence[Notice]) -> Figures:
    """Sums over the table and its TOAST table; pages are those of the table itself."""
    said = [notice.text for notice in notices]
    own = next((text for text in said if _PAGES.search(text)), "")
    pages = _PAGES.search(own)
    frozen = _FROZEN.search(own)
    tuples = [match for text in said if (match := _TUPLES.search(text))]
    wal = [match for text in said if (match := _WAL.search(text))]
    cutoff = _CUTOFF.search(own)
    return Figures(
        pages=int(pages[1]) if pages else None,
        pages_scanned=int(pages[2]) if pages else None,
        pages_frozen=int(frozen[1]) if frozen else None,
        dead_removed=sum(int(match[1]) for match in tuples) if tuples else None,
        dead_kept=sum(int(match[2]) for match in tuples) if tuples else None,
        wal_bytes=sum(int(match[1]) for match in wal) if wal else None,
        cutoff=int(cutoff[1]) if cutoff else None,
    )
