"""What a rehearsal came to: as a sentence, as a certificate, and as a person reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Final

from ft_ops.format import human_bytes, human_duration
from ft_ops.rehearsal.findings import RehearsalFinding, Verdict, Weight, verdict_of
from ft_ops.rehearsal.measure import QueryChange

_NUMBERS: Final = ("no", "one", "two", "three", "four", "five")
_ORDER: Final[tuple[Weight, ...]] = ("refuses", "differs", "unknown", "work", "note")


@dataclass(frozen=True, slots=True)
class Seconds:
    """How long each step took. The database is away from the stop to the first answer."""

    stop: float
    upgrade: float
    start: float
    analyze: float

    @property
    def down(self) -> float:
        return self.stop + self.upgrade + self.start


@dataclass(frozen=True, slots=True)
class SizeChange:
    """Bytes of the application's database, before and after."""

    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What an upgrade of the copy at ``point`` came to.

    ``seconds`` and ``sizes`` are None, and ``queries`` empty, where it was refused. ``defaults``
    are settings that nobody has set and whose default changes: name, old value, new value.
    """

    old_version: str
    new_version: str
    point: str
    source: str
    findings: tuple[RehearsalFinding, ...]
    held_by: str
    defaults: tuple[tuple[str, str, str], ...] = ()
    queries: tuple[QueryChange, ...] = ()
    seconds: Seconds | None = None
    sizes: SizeChange | None = None
    tables: int = 0
    rows: int = 0

    @property
    def verdict(self) -> Verdict:
        return verdict_of(self.findings)

    @property
    def sentence(self) -> str:
        """``16.14 → 18.4: works, 41 s down, one plan worse``."""
        parts = [self._verdict_words()]
        if self.seconds is not None:
            parts.append(f"{human_duration(self.seconds.down)} down")
        if self.queries:
            worse = sum(query.plan == "worse" for query in self.queries)
            parts.append(f"{_counted(worse, 'plan')} worse")
        return f"{self.old_version} → {self.new_version}: {', '.join(parts)}"

    def weighing(self, *weights: Weight) -> list[RehearsalFinding]:
        """The findings of some weights, in order."""
        return [finding for finding in self.findings if finding.weight in weights]

    def _verdict_words(self) -> str:
        if self.verdict == "works":
            return "works"
        if self.verdict == "unknown":
            unknown = len(self.weighing("unknown"))
            return f"unknown, {_counted(unknown, 'thing')} could not be looked at"
        differs = len(self.weighing("differs"))
        if differs:
            return f"refuted, {_counted(differs, 'thing')} came out otherwise"
        return f"refused, {_counted(len(self.weighing('refuses')), 'obstacle')}"


def certificate(rehearsal: Rehearsal) -> dict[str, object]:
    """All of it, as the bucket keeps it."""
    seconds = rehearsal.seconds
    return {
        **asdict(rehearsal),
        "sentence": rehearsal.sentence,
        "verdict": rehearsal.verdict,
        "seconds_down": None if seconds is None else round(seconds.down, 3),
        "queries": [
            {**asdict(query), "plan": query.plan, "plan_at_first": query.plan_at_first}
            for query in rehearsal.queries
        ],
    }


def finding_rows(rehearsal: Rehearsal) -> Iterator[tuple[str, str, str, str]]:
    """Weight, kind, subject and words of each finding, the gravest first."""
    for weight in _ORDER:
        for finding in rehearsal.weighing(weight):
            yield finding.weight, finding.kind, finding.subject, finding.words


QUERIES: Final = (
    "query",
    "plan",
    "until ANALYZE",
    "blocks before",
    "blocks after",
    "p50 ms before",
    "p50 ms after",
    "p95 ms before",
    "p95 ms after",
    "what changed",
)


def query_rows(rehearsal: Rehearsal) -> Iterator[tuple[str | float | int | None, ...]]:
    """One row a query, under `QUERIES`."""
    for query in rehearsal.queries:
        yield (
            query.query,
            query.plan,
            query.plan_at_first,
            query.before.blocks,
            query.after.blocks,
            round(query.before.p50_ms, 2),
            round(query.after.p50_ms, 2),
            round(query.before.p95_ms, 2),
            round(query.after.p95_ms, 2),
            query.words,
        )


def rehearsal_lines(rehearsal: Rehearsal) -> Iterator[str]:
    """What the command prints."""
    yield rehearsal.sentence
    yield f"  of {rehearsal.source}, at {rehearsal.point}"
    if rehearsal.seconds is not None and rehearsal.sizes is not None:
        took = rehearsal.seconds
        yield (
            f"  stop {took.stop:.1f} s, pg_upgrade --link {took.upgrade:.1f} s, start "
            f"{took.start:.1f} s; ANALYZE, beside the application, {took.analyze:.1f} s"
        )
        sizes = rehearsal.sizes
        yield f"  {human_bytes(sizes.before)} before, {human_bytes(sizes.after)} after"
        yield f"  {rehearsal.rows:,} rows of {rehearsal.tables} tables compared"
    for weight, kind, subject, words in finding_rows(rehearsal):
        yield f"  {weight}: {kind}: {subject}: {words}"
    for query in rehearsal.queries:
        yield (
            f"  plan of {query.query}: {query.plan}, {query.before.p50_ms:.1f} ms → "
            f"{query.after.p50_ms:.1f} ms {query.words}".rstrip()
        )
    for name, before, after in rehearsal.defaults:
        yield f"  default of {name}: {before} → {after}"


def _counted(number: int, thing: str) -> str:
    word = _NUMBERS[number] if number < len(_NUMBERS) else str(number)
    return f"{word} {thing}{'' if number == 1 else 's'}"
