"""What a rehearsal found: what refuses the upgrade, what has to be done for it, what to know."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Weight = Literal["refuses", "differs", "unknown", "work", "note"]
"""``refuses``: the upgrade is not possible while it is so. ``differs``: what came out is not what
went in. ``unknown``: it could not be looked at. ``work``: to be done before or after. ``note``:
to be known, and no work."""

Verdict = Literal["works", "refuted", "unknown"]

_REFUTES: Final = frozenset({"refuses", "differs"})


@dataclass(frozen=True, slots=True)
class RehearsalFinding:
    """One thing, by its name in the database; ``words`` say why it matters and what to do."""

    weight: Weight
    kind: str
    subject: str
    words: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}: {self.words}"


def verdict_of(findings: Iterable[RehearsalFinding]) -> Verdict:
    """What all of them come to."""
    weights = {finding.weight for finding in findings}
    if weights & _REFUTES:
        return "refuted"
    return "unknown" if "unknown" in weights else "works"
