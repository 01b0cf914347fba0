"""Whether what the ledger names lies in the bucket, byte for byte, as far as a look can tell."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, get_args

from ft_ops.archive.copies.compare import other_certificate, recorded
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.in_states import all_in_states, all_stored
from ft_ops.archive.month.states import LEDGERS, Ledger, State
from ft_ops.archive.store.layout import audit_prefix
from ft_ops.archive.store.manifest import refuse_other_manifest
from ft_ops.errors import OpsError
from ft_ops.items import each
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.s3.bucket import Bucket, Missing, Silent
from ft_ops.s3.objects import StoredObject, head, read_object
from ft_ops.s3.twins import KeyHistory, histories

_NOTHING: Final = KeyHistory((), hidden=False)
_BEFORE_TABLES: Final = "/table="
_CONTENT: Final = re.compile(r"(.+)/table=(?!manifest/)[^/]+/year=(\d{4})/month=(\d\d)/gen=(\d+)")


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at every generation found, by its name; how many objects it listed and asked for.

    ``asked_for`` is smaller than ``listed`` when there are more objects than the budget allows:
    then each was asked for after ``days``.
    """

    problems: Mapping[str, list[str]]
    listed: int
    asked_for: int
    days: int


def missing_from(bucket: Bucket, generation: Generation) -> Iterator[str]:
    """What of a proven generation is not there as it is recorded, in words.

    Every recorded version with its size and class, what lies in Glacier with its SHA-256 too, and
    a manifest that says what the ledger says. A list in STANDARD that was uploaded in parts has a
    checksum of its parts' checksums: its SHA-256 is compared whenever it is read. One HEAD an
    object, which needs no thaw, and one small STANDARD object read.
    """
    return _asked(bucket, generation, {stored.key for stored in recorded(generation)})


def _asked(bucket: Bucket, generation: Generation, keys: Collection[str]) -> Iterator[str]:
    """The same of some of its objects, by key."""
    parts = generation.parts()
    wanted = [item for item in generation.objects if item.stored.key in keys]
    for number, item in enumerate(wanted):
        try:
            found = head(bucket, item.stored)
        except Silent as error:
            # Without the key of one of them, which speaks for itself alone.
            yield f"{len(wanted) - number} of its objects were not looked at: {error.cause}"
            return
        except OpsError as error:
            yield str(error)
            continue
        if item not in parts:
            found = replace(found, sha256=item.stored.sha256)
        if found != item.stored:
            yield f"{item.stored.key} is {found}, recorded: {item.stored}"
    try:
        manifest = generation.require_manifest()
        if manifest.key in keys:
            refuse_other_manifest(generation, read_object(bucket, manifest), manifest)
    except OpsError as error:
        yield str(error)


def gone_from(bucket: Bucket, generation: Generation) -> list[str]:
    """The recorded versions of a generation that are not in the bucket, by key.

    Nothing else counts: what can't be looked at is an OpsError, and no reason to give it up.
    """
    gone = []
    for stored in recorded(generation):
        try:
            head(bucket, stored)
        except Missing:
            gone.append(f"{bucket.url(stored.key)} version {stored.version_id} is gone")
    return gone


def missing(connection: Connection, bucket: Bucket) -> dict[str, list[str]]:
    """The generations of which something is missing, by name, of all that are frozen or purged."""
    return dict(look(connection, bucket).problems)


def look(
    connection: Connection,
    bucket: Bucket,
    *,
    requests: int = 1 << 30,
    now: datetime | None = None,
) -> Look:
    """Look at every generation that is frozen or purged.

    All are held against a listing of the bucket, which tells versions, sizes, classes, delete
    markers and what nobody recorded, at one request for a thousand versions. What no listing tells
    (that a key was disabled, that a certificate was edited in its place) is asked each day of each
    generation's certificate, manifest and one part, which lie under the keys of its proof and of
    its freeze. The other objects are asked for as far as ``requests`` go, in turn by the day of
    ``now``. A generation that can't be looked at is among the problems, and does not stop the
    others.
    """
    known = all_stored(connection)
    listed = each(
        sorted({_root(stored.key) for generation in known for stored in recorded(generation)}),
        lambda root: histories(bucket, f"{root}{_BEFORE_TABLES}"),
    )
    there = {key: history for found in listed.results for key, history in found.items()}
    unlisted = {failed.name: f"not looked at: {failed}" for failed in listed.failed}
    folders: dict[str, list[str]] = {}
    for key, history in there.items():
        if history.versions:
            folders.setdefault(_folder(key), []).append(key)
    today, days = _todays(known, requests, now)

    def problems_of(generation: Generation) -> list[str]:
        untold = {unlisted.get(_root(stored.key)) for stored in recorded(generation)} - {None}
        if untold:
            return [reason for reason in untold if reason is not None]
        asks = today[generation.name]
        return [*_problems(bucket, generation, there, asks), *_strange(generation, folders)]

    worked = each(known, problems_of, name=lambda g: g.name)
    problems = {name: found for name, found in worked.done if found}
    problems |= {failed.name: [failed.cause] for failed in worked.failed}
    problems |= _of_nobody(connection, folders)
    return Look(
        problems,
        sum(map(_looks, known)),
        sum(map(len, today.values())),
        days,
    )


def _looks(generation: Generation) -> int:
    """How many of its objects are looked at: those that the ledger names, and the certificate."""
    return len(recorded(generation)) + 1


def _todays(
    known: Sequence[Generation], requests: int, now: datetime | None
) -> tuple[dict[str, set[str]], int]:
    """The keys that are asked for today, by generation; after how many days each was."""
    day = 0 if now is None else now.toordinal()
    today: dict[str, set[str]] = {}
    others: list[tuple[str, str]] = []
    for generation in known:
        parts = [item.stored.key for item in generation.parts()]
        first = {generation.certificate_key, generation.require_manifest().key}
        today[generation.name] = first | set(parts[day % max(len(parts), 1) :][:1])
        keys = (stored.key for stored in recorded(generation) if stored.key not in first)
        others += [(generation.name, key) for key in keys]
    left = max(requests - sum(map(len, today.values())), 1)
    days = 1 if sum(map(_looks, known)) <= requests else -(-len(others) // left)
    for number, (name, key) in enumerate(others):
        if number % days == day % days:
            today[name].add(key)
    return today, days


def _problems(
    bucket: Bucket, generation: Generation, there: Mapping[str, KeyHistory], asks: Collection[str]
) -> list[str]:
    """What the listing shows to be other than it is recorded; what only asking shows, besides."""
    listed = {
        stored.key: problem
        for stored in recorded(generation)
        if (problem := _listed_problem(generation, stored, there.get(stored.key, _NOTHING)))
    }
    asked = _asked(bucket, generation, asks)
    try:
        certificate = _certificate_problem(
            bucket, generation, there, asks=generation.certificate_key in asks
        )
    except OpsError as error:
        certificate = f"it can't be looked at: {error.cause}"
    return [
        *(f"{key}: {problem}" for key, problem in listed.items()),
        *(line for line in asked if not any(key in line for key in listed)),
        *([f"{generation.certificate_key}: {certificate}"] if certificate else []),
    ]


def _strange(generation: Generation, folders: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """What lies in the generation's folders and nobody recorded: engines read whole folders."""
    known = {stored.key for stored in recorded(generation)} | {generation.certificate_key}
    known |= {key for key, _ in generation.leftovers}
    for folder in sorted({_folder(key) for key in known}):
        for key in folders.get(folder, ()):
            if key not in known:
                yield f"{key}: it is none of ours, and whoever reads the folder reads it, too"


def _of_nobody(
    connection: Connection, folders: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Content under the keys of a generation that the ledger has not, or has given up for it."""
    ours = {
        (ledger, generation.month, generation.number)
        for ledger in LEDGERS
        for generation in all_in_states(connection, get_args(State), ledger)
        if generation.state != "superseded" or generation.objects or generation.leftovers
    }
    problems: dict[str, list[str]] = {}
    for folder, keys in folders.items():
        found = _CONTENT.fullmatch(folder)
        if found is None:
            continue
        root, year, month, number = found.groups()
        ledger: Ledger = "audit_archive" if root.endswith(audit_prefix("")) else "archive"
        if (ledger, Month(int(year), int(month)), int(number)) not in ours:
            problems.setdefault(f"objects of nobody below {root}", []).extend(
                f"{key}: no generation of the ledger has it" for key in keys
            )
    return problems


def _root(key: str) -> str:
    return key.partition(_BEFORE_TABLES)[0]


def _folder(key: str) -> str:
    return key.rpartition("/")[0]


def _certificate_problem(
    bucket: Bucket, generation: Generation, there: Mapping[str, KeyHistory], *, asks: bool
) -> str | None:
    """The ledger does not name its version: it is written once, and says what the ledger says."""
    history = there.get(generation.certificate_key, _NOTHING)
    if history.hidden:
        return "a delete marker hides it from whoever reads without a version's id"
    if not history.versions:
        return "it is not there"
    newest, first = history.versions[0], history.versions[-1]
    if newest.bytes != first.bytes:
        return f"version {newest.version_id} of {newest.bytes:,} bytes was put above it"
    return other_certificate(bucket, generation, newest) if asks else None


def _listed_problem(
    generation: Generation, stored: StoredObject, history: KeyHistory
) -> str | None:
    if history.hidden:
        return "a delete marker hides it from whoever reads without a version's id"
    found = {version.version_id: version for version in history.versions}
    if stored.version_id not in found:
        return f"version {stored.version_id} is not there"
    mine = found[stored.version_id]
    if mine.bytes != stored.bytes:
        return f"it has {mine.bytes:,} bytes, recorded are {stored.bytes:,}"
    if mine.storage_class != stored.storage_class:
        return f"its class is {mine.storage_class}, recorded is {stored.storage_class}"
    newest = history.versions[0]
    known = {stored.version_id, *(version for _, version in generation.leftovers)}
    if newest.version_id not in known:
        return f"version {newest.version_id} of {newest.bytes:,} bytes was put above it"
    return None
