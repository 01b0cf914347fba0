"""The states of a generation and of a thaw, and what follows from each. Decided only here.

```
archiving → archived → exporting → exported → proving → proven
    → freezing → frozen → purging → purged
```

A state in -ing belongs to a run, or was left by a dead one; the same step, run again, ends it. Each
may be followed by ``superseded``, when another generation takes over.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from ft_ops.months import Month

State: TypeAlias = Literal[
    "archiving",
    "archived",
    "exporting",
    "exported",
    "proving",
    "proven",
    "freezing",
    "frozen",
    "purging",
    "purged",
    "superseded",
]

Ledger: TypeAlias = Literal["archive", "audit_archive"]
"""Whose months a generation is of, by the table of the schema ops that keeps its row: segments, or
the audit log."""

LEDGERS: Final[tuple[Ledger, ...]] = ("archive", "audit_archive")

ThawState: TypeAlias = Literal[
    "restoring", "loading", "loaded", "thawed", "refreezing", "done", "cancelled"
]

Origin: TypeAlias = Literal["database", "erasure"]
"""Whether a generation was exported from the database, or rewritten from others without what was
erased."""

UNFINISHED: Final[frozenset[State]] = frozenset(
    {"archiving", "archived", "exporting", "exported", "proving", "proven", "freezing"}
)
"""`archive_old_content` has something left to do."""

IN_DATABASE: Final[frozenset[State]] = UNFINISHED | {"frozen", "purging"}
"""The generation's rows are in the database, if that is where it came from."""

TO_EXPORT: Final[frozenset[State]] = frozenset({"archived", "exporting"})
TO_PROVE: Final[frozenset[State]] = frozenset({"exported", "proving"})
TO_FREEZE: Final[frozenset[State]] = frozenset({"proven", "freezing"})
TO_PURGE: Final[frozenset[State]] = frozenset({"frozen", "purging"})

STORED: Final[frozenset[State]] = TO_PURGE | {"purged"}
"""Its objects are in their cold class, and no other generation replaces it."""

TO_LOAD: Final[frozenset[ThawState]] = frozenset({"restoring", "loading"})
"""A thaw whose objects have to be readable."""

TO_REFREEZE: Final[frozenset[ThawState]] = frozenset({"thawed", "refreezing"})
"""A thaw whose rows are in the database, to be taken out when its time is over."""


def month_words(month: Month, ledger: Ledger) -> str:
    """What a month is called in messages, and in the name of its advisory lock."""
    return str(month) if ledger == "archive" else f"audit log of {month}"
