"""What the operations did: their rows of the audit log, and the same as entries of the chain."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from ft_ops.evidence import verify
from ft_ops.pg.audit import SYSTEM_USER
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

_SIGNS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_DEEPEST: Final = 100
_DIGITS: Final = 300


@dataclass(frozen=True, slots=True)
class Act:
    """One act of the operations. ``details`` is what the step wrote down of it."""

    id: UUID
    created_at: datetime
    action: str
    table_name: str | None
    new_values: object

    @property
    def details(self) -> Mapping[str, object]:
        """By name; what is no object of JSON has the name value."""
        if self.new_values is None:
            return {}
        return self.new_values if isinstance(self.new_values, dict) else {"value": self.new_values}


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An act as the audit log has it: ``new_values`` is the text of its JSON."""

    id: UUID
    created_at: datetime
    action: str
    table_name: str | None
    new_values: str | None


def acts_since(connection: Connection, since: datetime) -> list[Act]:
    """Every act from ``since`` on, oldest first."""
    return [
        Act(row.id, row.created_at, row.action, row.table_name, _read(row.new_values))
        for row in rows_since(connection, since)
    ]


def rows_since(connection: Connection, since: datetime) -> list[AuditRow]:
    """The rows of these acts as the audit log has them."""
    with connection.cursor(row_factory=class_row(AuditRow)) as cursor:
        cursor.execute(
            statement("evidence/acts_since"), {"system_user": SYSTEM_USER, "since": since}
        )
        return cursor.fetchall()


def is_entry_of(entry: Mapping[str, object], row: AuditRow) -> bool:
    """Whether an entry of the chain says what this row says, to the last sign.

    Earlier releases rounded numbers when they read a row: such an entry is this row's, too.
    """
    text = row.new_values
    written = verify.canonical(entry)
    for read in (_read, _rounded):
        try:
            act = Act(row.id, row.created_at, row.action, row.table_name, read(text))
            if verify.canonical(to_entry(act)) == written:
                return True
        except (ValueError, RecursionError):
            # Nobody could have written that down so.
            continue
    return False


def _rounded(text: str | None) -> object:
    return None if text is None else json.loads(text)


def _read(text: str | None) -> object:
    """JSON of which nothing is rounded: a number that no float holds is its text.

    What is nested deeper than every program reads stays text as a whole.
    """
    if text is None:
        return None
    depth = deepest = 0
    for sign in _SIGNS.findall(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(sign, 0)
        deepest = max(deepest, depth)
    if deepest > _DEEPEST:
        return text
    return json.loads(text, parse_float=_exact, parse_int=_whole)


def _exact(text: str) -> float | str:
    number = float(text)
    return number if isfinite(number) and Decimal(repr(number)) == Decimal(text) else text


def _whole(text: str) -> int | str:
    return int(text) if len(text) <= _DIGITS else text


def to_entry(act: Act) -> dict[str, object]:
    """An act as the chain writes it."""
    return {
        "id": str(act.id),
        "at": act.created_at.astimezone(UTC).isoformat(timespec="microseconds"),
        "action": act.action,
        "table": act.table_name,
        "details": dict(act.details),
    }


def from_entries(entries: Iterable[Mapping[str, object]]) -> list[Act]:
    """The acts of a verified chain, in the order of the chain."""
    return [
        Act(
            UUID(str(entry["id"])),
            datetime.fromisoformat(str(entry["at"])),
            str(entry["action"]),
            str(entry["table"]) if entry["table"] is not None else None,
            entry["details"],
        )
        for entry in entries
    ]
