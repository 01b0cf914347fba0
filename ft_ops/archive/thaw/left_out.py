"""What a thaw leaves in the archive: counted by table and reason, and named in the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ft_ops.archive.month.content import HOT, Table

_NAMED: Final = 10
"""Rows that a line of the log names."""

_SHORT: Final[Mapping[str, str]] = {
    "photo_narrations": "narrations",
    "content_tags": "tags",
    "content_links": "links",
    HOT: "segments",
}
"""What the counts of what is left out call some tables."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """``rows``: how many, by table and reason. ``log`` is told which, where nobody deleted them."""

    log: Callable[[str], None]
    rows: dict[str, int] = field(default_factory=dict)

    def count(self, counted: Table, reason: str, rows: int, *, again: bool = True) -> None:
        """Count rows: ``again``, in place of an earlier attempt's, or besides those."""
        label = f"{_SHORT.get(counted.name, counted.name)}: {reason}"
        self.rows[label] = rows + (0 if again else self.rows.get(label, 0))

    def tell(self, table: Table, reason: str, rows: Sequence[str]) -> None:
        """Say which rows stay in the archive although nobody deleted them, and what helps."""
        named = ", ".join(rows[:_NAMED]) + (
            f" and {len(rows) - _NAMED} more" * (len(rows) > _NAMED)
        )
        self.log(
            f"{table.name}: {reason}: {named}. They are still in the archive, and come back with a "
            "thaw once the constraint of today lets them, or a value is declared for them in "
            "ops.column_changes"
        )
