"""Compares the second bucket with the ledger and the first: what it lacks or has too much."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from ft_ops.archive.claims.claim import claim
from ft_ops.archive.claims.records import is_claim
from ft_ops.archive.copies.compare import missing_from_second, other_certificate
from ft_ops.archive.copies.second import remove_ours
from ft_ops.archive.erase.free import free_of_holds
from ft_ops.archive.hold.holds import active_holds
from ft_ops.archive.month.generation import ArchivedObject, Generation
from ft_ops.archive.month.in_states import all_stored
from ft_ops.archive.month.ledger import generations, months_by_state
from ft_ops.archive.month.states import LEDGERS
from ft_ops.archive.recorded.records import named_digest
from ft_ops.archive.replica.fill import require_second
from ft_ops.archive.run import Run
from ft_ops.archive.store.layout import audit_prefix, document_prefixes, records_prefix
from ft_ops.errors import Refused
from ft_ops.items import Worked, each
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import StoredObject, Version, objects, read_version, told
from ft_ops.s3.twins import KeyHistory, histories

_READERS: Final = 8
"""Requests at once while records are looked at: there may be thousands."""


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

    One HEAD for each of the first and of the records, two listings for the others.
    """
    second = require_second(run)
    now = run.clock()
    there = histories(second, f"{run.target.prefix}/")
    wrong: dict[str, list[str]] = {}
    waiting: dict[str, list[str]] = {}
    kept = {generation.name: generation for generation in all_stored(run.connection)}
    compared = each(kept, lambda name: list(_problems(second, kept[name], there)))
    for name, problems in compared.done:
        if problems:
            since = kept[name].frozen_at or now
            (waiting if now - since <= lag else wrong)[name] = problems
    number = sum(len(generation.objects) + 1 for generation in kept.values())
    documents = each(
        document_prefixes(run.target.prefix),
        lambda prefix: _compare_documents(run, prefix, there, now - lag, wrong, waiting),
        name=run.bucket.url,
    )
    strange = each(
        [records_prefix(root) for root in (run.target.prefix, audit_prefix(run.target.prefix))],
        lambda prefix: _compare_records(run, prefix, there, wrong),
        name=lambda prefix: f"records below {second.url(prefix)}",
    )
    # What could not be compared is not known to be there, however young it is.
    for failed in (*compared.failed, *documents.failed, *strange.failed):
        wrong.setdefault(failed.name, []).append(f"it can't be compared: {failed.cause}")
    return Comparison(number + sum(documents.results), wrong, waiting, _returned(run, there))


def _compare_documents(
    run: Run,
    prefix: str,
    there: Mapping[str, KeyHistory],
    since: datetime,
    wrong: dict[str, list[str]],
    waiting: dict[str, list[str]],
) -> int:
    number = 0
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
    return number


def _problems(
    second: Bucket, generation: Generation, there: Mapping[str, KeyHistory]
) -> Iterator[str]:
    """What of a generation is not as in the first; a certificate that lacks, its folder tells."""
    yield from missing_from_second(second, generation, there)
    history = there.get(generation.certificate_key)
    if history is not None and history.versions:
        other = other_certificate(second, generation, history.versions[0])
        if other is not None:
            yield f"{second.url(generation.certificate_key)}: {other}"


def _compare_records(
    run: Run, prefix: str, there: Mapping[str, KeyHistory], wrong: dict[str, list[str]]
) -> None:
    """Name the records of the second bucket that the first has not, and those of other content.

    One HEAD a record: its name has its SHA-256. The first's are read whole each day.
    """
    second = require_second(run)
    first = {found.key for found in objects(run.bucket, prefix)}
    strange = [key for key in there if key.startswith(prefix) and key not in first]
    if strange:
        problem = (
            f"{len(strange)} records are not in the first bucket: it has lost them, or the second "
            "is another archive's, too"
        )
        wrong.setdefault(strange[0], []).append(problem)
    newest = {key: there[key].versions[0] for key in first & there.keys() if there[key].versions}
    with ThreadPoolExecutor(_READERS, thread_name_prefix="records") as pool:
        found = each(
            [(key, pool.submit(_digest, second, version)) for key, version in newest.items()],
            lambda asked: asked[1].result(),
            name=lambda asked: asked[0],
        )
    for failed in found.failed:
        wrong.setdefault(failed.name, []).append(f"it can't be looked at: {failed.cause}")
    for key, digest in found.done:
        # A claim's name has its number; who reads it takes the version that was written first.
        if not is_claim(key) and not digest.startswith(named_digest(key)):
            wrong.setdefault(key, []).append("its content is not what was written")


def _digest(bucket: Bucket, version: Version) -> str:
    """The SHA-256 of a version, as S3 tells it, else of its content."""
    known = StoredObject(version.key, version.version_id, version.bytes, "", version.storage_class)
    said = told(bucket, known).sha256
    return said or hashlib.sha256(read_version(bucket, version)).hexdigest()


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
    What a hold is on that was placed in between stays: nothing else has it.
    """
    second = run.target.second
    if second is None:
        return Worked((), ())
    there: dict[str, KeyHistory] = {}
    for root in (run.target.prefix, audit_prefix(run.target.prefix)):
        there |= histories(second, f"{root}/table=")
    back = [g for g in _removed_generations(run) if any(_sized(g, there))]
    if back:
        claim(run.folder, "removal of what came back", removes=True)
    return each(
        back,
        lambda generation: _remove_again(run, second, generation, there),
        name=lambda generation: f"second copy of {generation.name}, which was removed",
        log=run.log,
    )


def _remove_again(
    run: Run, second: Bucket, generation: Generation, there: Mapping[str, KeyHistory]
) -> int:
    lists = [o for o in removed_objects(generation) if _table_of(o) not in _content(generation)]
    back = [
        ArchivedObject(
            _table_of(stored),
            0,
            0,
            replace(stored, version_id=version.version_id, bytes=version.bytes),
        )
        for stored in lists
        if stored.key in there
        for version in there[stored.key].versions[:1]
    ]
    with free_of_holds(run, second, replace(generation, objects=tuple(back))) as go_on:
        standing = active_holds(run.connection)
        if standing and len(back) < len(lists):
            raise Refused(
                f"second copy of {generation.name}, which was removed",
                cause=f"{standing[0]} stands, and the lists that say whose content it is did not "
                "come back with it",
                next_step="it stays until no hold stands, or until a person who knows that it is "
                "not held has removed it",
            )
        return remove_ours(second, list(_sized(generation, there)), before_each=go_on)


def _content(generation: Generation) -> Sequence[str]:
    return generation.require_content().names


def _table_of(stored: StoredObject) -> str:
    return stored.key.partition("/table=")[2].partition("/")[0]


def _removed_generations(run: Run) -> list[Generation]:
    return [
        generation
        for ledger in LEDGERS
        for month in months_by_state(run.connection, ("superseded",), ledger)
        for generation in generations(run.connection, month, ledger)
        if removed_objects(generation)
    ]


def _sized(generation: Generation, there: Mapping[str, KeyHistory]) -> Iterator[StoredObject]:
    """The removed objects that are there, with the sizes of the versions that are."""
    for stored in removed_objects(generation):
        for size in {v.bytes for v in there.get(stored.key, KeyHistory((), hidden=False)).versions}:
            yield StoredObject(
                stored.key, stored.version_id, size, stored.sha256, stored.storage_class
            )
