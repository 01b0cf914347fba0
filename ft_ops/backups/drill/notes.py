"""What a check notes down: what is wrong with a copy, and what could not be looked at.

An error is a finding only where PostgreSQL says that it is about the data. A full disk, a missing
library, a time-out or a lost connection says nothing about them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import psycopg

from ft_ops.backups.provider import DrillFinding, Examined
from ft_ops.errors import without_rows

_OF_THE_DATA: Final[Mapping[str, str]] = {
    "XX000": "internal error: what it read makes no sense to it",
    "XX001": "data corrupted",
    "XX002": "index corrupted",
    # A relation's file; that of a library is told apart by its words.
    "58P01": "a file is missing",
    # Text in the tables that is none.
    "22021": "character not in repertoire",
    "22P05": "untranslatable character",
}
# An index or a default may call a library, and a collation one of the system's: what this machine
# lacks has often no SQLSTATE of its own.
_OF_THE_MACHINE: Final = re.compile(
    r"could not (?:access file|load library|open collator|create locale|initialize LLVM)"
    r'|incompatible library "'
)


def is_about_the_data(error: psycopg.Error) -> bool:
    """Whether an error of a copy's server is about what it holds, by its SQLSTATE."""
    return error.sqlstate in _OF_THE_DATA and _OF_THE_MACHINE.search(str(error)) is None


@dataclass(slots=True)
class Notes:
    """The notes of one check."""

    check: str
    findings: list[DrillFinding] = field(default_factory=list)
    undecided: list[DrillFinding] = field(default_factory=list)
    unsaid: list[str] = field(default_factory=list)

    @property
    def subjects(self) -> set[str]:
        """Everything that there is a note on."""
        return {note.subject for note in (*self.findings, *self.undecided)}

    def wrong(self, subject: str, problem: str) -> None:
        """Note that ``subject`` is not what it was."""
        self.findings.append(DrillFinding(self.check, subject, problem))

    def failed(self, subject: str, error: psycopg.Error) -> None:
        """Note an error: as a finding if it is about the data, else as what nobody looked at."""
        note = DrillFinding(self.check, subject, without_rows(error))
        (self.findings if is_about_the_data(error) else self.undecided).append(note)

    def left_open(self, subject: str, problem: str) -> None:
        """Note that nobody can tell here what ``subject`` is."""
        self.undecided.append(DrillFinding(self.check, subject, problem))

    def examined(self, count: int) -> Examined:
        """The notes, and how many were looked at."""
        return Examined(count, tuple(self.findings), tuple(self.undecided), tuple(self.unsaid))
