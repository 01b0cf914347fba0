"""Holds the second bucket against the ledger and the first: what lacks, waits, or is too much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ft_ops.archive.copies.compare import missing_from_second
from ft_ops.archive.copies.second import remove_second
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import generations, months_by_state
from ft_ops.archive.replica.fill import kept_generations, require_second
from ft_ops.archive.run import Run
from ft_ops.archive.store.layout import document_prefixes, records_prefix
from ft_ops.errors import explained
from ft_ops.items import Worked, each
from ft_ops.s3.objects import StoredObject, objects
from ft_ops.s3.twins import KeyHistory, histories


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is wrong with the second copy, by the generation's or object's name.

    ``waiting`` is younger than the lag that is allowed. ``returned`` are versions of generations
    that were removed: what was erased may be in them.
    """

    objects: int
    wrong: Mapping[str, list[str]]
    waiting: Mapping[str, list[str]] = field(default_factory=dict)
    returned: Mapping[str, list[str]] = field(default_factory=dict)


def compare(run: Run, *, lag: timedelta) -> Comparison:
    """Compare every object of each kept generation, every record and every manifest.

    One HEAD for each of the first, two listings for the others.
    """
    second = require_second(run)
    now = run.clock()
    there = histories(second, f"{run.target.prefix}/")
    wrong: dict[str, list[str]] = {}
    waiting: dict[str, list[str]] = {}
    kept = kept_generations(run.connection)
    number = 0
    for generation in kept:
        with explained(f"second copy of {generation.name}"):
            problems = list(missing_from_second(second, generation, there))
        number += len(generation.objects) + 1
        if problems:
            since = generation.frozen_at or now
            (waiting if now - since <= lag else wrong)[generation.name] = problems
    number += _compare_documents(run, there, now - lag, wrong, waiting)
    return Comparison(number, wrong, waiting, _returned(run, there))


def _compare_documents(
    run: Run,
    there: Mapping[str, KeyHistory],
    since: datetime,
    wrong: dict[str, list[str]],
    waiting: dict[str, list[str]],
) -> int:
    number = 0
    for prefix in document_prefixes(run.target.prefix):
        for found in objects(run.bucket, prefix):
            number += 1
            history = there.get(found.key)
            if history is None or not history.versions:
                problem = "it is not there"
            elif history.hidden:
                problem = "a delete marker hides it"
            elif found.bytes not in {version.bytes for version in history.versions}:
                problem = f"no version of it has {found.bytes:,} bytes, as the first has"
            else:
                continue
            (waiting if found.last_modified > since else wrong)[found.key] = [problem]
    first = {found.key for found in objects(run.bucket, records_prefix(run.target.prefix))}
    strange = [
        key
        for key in there
        if key.startswith(records_prefix(run.target.prefix)) and key not in first
    ]
    if strange:
        problem = (
            f"{len(strange)} records are not in the first bucket: it has lost them, or the second "
            "is another archive's, too"
        )
        wrong[strange[0]] = [problem]
    return number


def removed_objects(generation: Generation) -> list[StoredObject]:
    """What a generation's certificate names, whose objects were removed from the first bucket."""
    if generation.state != "superseded" or generation.objects:
        return []
    certificate = generation.certificate or {}
    entries = certificate.get("objects", ())
    assert isinstance(entries, list | tuple)
    return [
        # A certificate does not say the size: it is the listed version's.
        StoredObject(entry["key"], entry["version_id"], -1, entry["sha256"], "STANDARD")
        for entry in entries
    ]


def _returned(run: Run, there: Mapping[str, KeyHistory]) -> dict[str, list[str]]:
    found = {}
    for generation in _removed_generations(run):
        keys = [o.key for o in removed_objects(generation)]
        left = [key for key in keys if key in there and there[key].versions]
        if left:
            found[generation.name] = left
    return found


def remove_returned(run: Run) -> Worked[int]:
    """Remove again what of removed generations came back into the second bucket, by its bytes.

    S3's own replication may bring a version after it was removed. Results are numbers of versions.
    """
    second = run.target.second
    if second is None:
        return Worked((), ())
    there = histories(second, f"{run.target.prefix}/table=")
    back = [g for g in _removed_generations(run) if any(_sized(g, there))]
    return each(
        back,
        lambda generation: remove_second(second, list(_sized(generation, there))),
        name=lambda generation: f"second copy of {generation.name}, which was removed",
        log=run.log,
    )


def _removed_generations(run: Run) -> list[Generation]:
    return [
        generation
        for month in months_by_state(run.connection, ("superseded",))
        for generation in generations(run.connection, month)
        if removed_objects(generation)
    ]


def _sized(generation: Generation, there: Mapping[str, KeyHistory]) -> Iterator[StoredObject]:
    """The removed objects that are there, with the sizes of the versions that are."""
    for stored in removed_objects(generation):
        for size in {v.bytes for v in there.get(stored.key, KeyHistory((), hidden=False)).versions}:
            yield StoredObject(
                stored.key, stored.version_id, size, stored.sha256, stored.storage_class
            )
