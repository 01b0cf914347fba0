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


def acts_since(connection: Connection, since: datetime) -> list[Act]:
    """Every act from ``since`` on, oldest first."""
    rows = connection.execute(
        statement("evidence/acts_since"), {"system_user": SYSTEM_USER, "since": since}
    )
    return [
        Act(key, at, action, table, None if text is None else _read(text))
        for key, at, action, table, text in rows
    ]


def _read(text: str) -> object:
    """JSON of which nothing is rounded: a number that no float holds is its text.

    What is nested deeper than every program reads stays text as a whole.
    """
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
