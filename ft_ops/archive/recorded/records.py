"""What lies in the bucket beside the archive: tombstones, holds, and the ledger's rows.

Each object is written once, in STANDARD, under a key that its content decides: written again after
a crash it is the same object. Tombstones and holds come in batches of events, one JSON document a
line; each proven generation has an object for each state that it has reached.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias, get_args

from ft_ops.archive.claims.records import Claims, read_claims
from ft_ops.archive.run import ArchiveTarget
from ft_ops.errors import OpsError, Refused
from ft_ops.items import Failed, each
from ft_ops.months import Month
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import objects, put_once, read_current

EventKind: TypeAlias = Literal["erasure", "withdrawn_erasure", "erased_row", "returned_row", "hold"]

_READERS: Final = 8
"""Requests at once while records are read: there may be thousands of small objects."""


@dataclass(frozen=True, slots=True)
class Event:
    """One tombstone, one withdrawal of one, or one state of a hold, and when it was made."""

    kind: EventKind
    at: datetime
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class GenerationRecord:
    """A row of the ledger as it was at ``updated_at``; ``row`` is by the columns' names."""

    month: Month
    generation: int
    updated_at: datetime
    row: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.month} generation {self.generation}"


@dataclass(frozen=True, slots=True)
class Records:
    """What a bucket records: events in their order, and the newest ledger's rows.

    ``unread_events`` are batches that could not be read or are not what was written, and claims,
    by which it is known whose records count;
    ``unread_months`` the same of the ledger, by the month of which something is not known;
    ``foreign`` is what lies among the ledger's rows and is called like none of them.
    """

    events: tuple[Event, ...]
    generations: Mapping[tuple[Month, int], GenerationRecord]
    unread_events: tuple[Failed, ...]
    unread_months: Mapping[Month, Failed]
    foreign: tuple[Failed, ...] = ()
    claims: Claims = field(default_factory=Claims)


@dataclass(frozen=True, slots=True)
class Document:
    """A record as it is to be written; its content decides its key."""

    key: str
    body: bytes


def events_document(prefix: str, events: Sequence[Event]) -> Document:
    """A batch of events."""
    lines = [
        json.dumps(
            {"kind": event.kind, "at": event.at.isoformat(), "record": event.record},
            ensure_ascii=False,
            sort_keys=True,
        )
        for event in events
    ]
    first = min(event.at for event in events)
    stem = f"{_events(prefix)}{first:%Y/%m/%Y%m%dT%H%M%S}"
    return _document(stem, "jsonl", "\n".join(lines))


def generation_document(prefix: str, record: GenerationRecord) -> Document:
    """A row of the ledger."""
    body = json.dumps(
        {
            "month": str(record.month),
            "generation": record.generation,
            "updated_at": record.updated_at.isoformat(),
            "row": record.row,
        },
        ensure_ascii=False,
        sort_keys=True,
    )
    at = f"{record.updated_at:%Y%m%dT%H%M%S%f}"
    folder = f"{_ledger(prefix)}{record.month}/gen={record.generation}"
    return _document(f"{folder}/{at}-{record.row['state']}", "json", body)


def put_document(bucket: Bucket, document: Document) -> None:
    """Write a record. Writing the same one again changes nothing."""
    # A run has died after it had written it. Its name is its content's: each reader compares.
    with suppress(Refused):
        put_once(bucket, document.key, document.body)


def put_drill(
    bucket: Bucket, prefix: str, record: Mapping[str, Any], there: Collection[str]
) -> bool:
    """Write how a drill of the archive ended, unless its key is ``there``; whether it was not."""
    body = json.dumps(record, ensure_ascii=False, sort_keys=True)
    at = datetime.fromisoformat(record["finished_at"])
    stem = f"{_drills(prefix)}{str(record['month'])[:7]}/{at:%Y%m%dT%H%M%S}-{record['state']}"
    document = _document(stem, "json", body)
    is_new = document.key not in there
    if is_new:
        put_document(bucket, document)
    return is_new


def drill_keys(bucket: Bucket, prefix: str) -> list[str]:
    """The keys of the records of drills, by month."""
    return [found.key for found in objects(bucket, _drills(prefix))]


def read_records(target: ArchiveTarget, disown: Sequence[int] = ()) -> Records:
    """Read every record; one that can't be read, or is not what we wrote, is in the result.

    Left out is what a copy of the database has recorded: what is named by claims that were
    disowned, or are to be.
    """
    bucket, prefix = target.bucket, target.prefix
    claims = read_claims(bucket, target.root)
    ignored = claims.ignored(disown)
    event_keys = [
        found.key for found in objects(bucket, _events(prefix)) if found.key not in ignored
    ]
    # By the moment of the change, which the key begins with: the newest of each generation.
    newest: dict[str, str] = {}
    for found in objects(bucket, _ledger(prefix)):
        if found.key not in ignored:
            newest[found.key.rpartition("/")[0]] = found.key
    with ThreadPoolExecutor(_READERS, thread_name_prefix="records") as pool:
        bodies = {
            key: pool.submit(read_record, bucket, key) for key in (*event_keys, *newest.values())
        }
        batches = each(
            event_keys,
            lambda key: list(_parsed_events(bucket, key, bodies[key].result())),
            name=bucket.url,
        )
        rows = each(
            newest.values(),
            lambda key: _parsed_generation(bucket, key, bodies[key].result()),
            name=bucket.url,
        )
    # The same tombstone may lie in two batches: of a run that died before it could say so.
    unique: dict[tuple[str, datetime, str], Event] = {}
    for event in _in_order(batches.done, {bucket.url(key): key for key in event_keys}, claims):
        known = (event.kind, event.at, json.dumps(event.record, sort_keys=True))
        unique.setdefault(known, event)
    months = {bucket.url(key): _month_of(prefix, key) for key in newest.values()}
    unread = [(months[failed.name], failed) for failed in rows.failed]
    return Records(
        tuple(unique.values()),
        {(found.month, found.generation): found for found in rows.results},
        (*claims.unread, *batches.failed),
        {month: failed for month, failed in unread if month is not None},
        tuple(failed for month, failed in unread if month is None),
        claims,
    )


def is_recorded(target: ArchiveTarget, month: Month, generation: int) -> bool:
    """Whether the bucket has a record of a generation that counts, or may count."""
    bucket = target.bucket
    folder = f"{_ledger(target.prefix)}{month}/gen={generation}/"
    keys = {found.key for found in objects(bucket, folder)}
    return bool(keys) and bool(keys - read_claims(bucket, target.root).ignored())


def newest_record(
    target: ArchiveTarget, month: Month, generation: int, ignored: Collection[str]
) -> GenerationRecord | None:
    """The newest record of a generation but for the ``ignored`` keys; None where there is none.

    An OpsError where it can't be read or is not what was written.
    """
    bucket = target.bucket
    folder = f"{_ledger(target.prefix)}{month}/gen={generation}/"
    keys = [found.key for found in objects(bucket, folder) if found.key not in ignored]
    if not keys:
        return None
    return _parsed_generation(bucket, keys[-1], read_record(bucket, keys[-1]))


def _in_order(
    batches: Sequence[tuple[str, list[Event]]], keys: Mapping[str, str], claims: Claims
) -> list[Event]:
    """Events as they happened: by the claim under which they came, in a batch as they lie there.

    No clock decides, which may have been set back. Those of earlier versions, which had no claims,
    come first, by their moments.
    """
    claimed = {key: claim.number for claim in reversed(claims.known) for key in claim.records}
    long_ago = datetime.min.replace(tzinfo=UTC)
    found = [
        ((number, long_ago if number else event.at, line), event)
        for url, events in batches
        for number in (claimed.get(keys[url], 0),)
        for line, event in enumerate(events)
    ]
    return [event for _, event in sorted(found, key=lambda item: item[0])]


def _month_of(prefix: str, key: str) -> Month | None:
    """The month of the ledger's row under a key; None if the key is none of ours."""
    try:
        return Month.parse(key.removeprefix(_ledger(prefix)).partition("/")[0])
    except OpsError:
        return None


def named_digest(key: str) -> str:
    """The first half of the SHA-256 of a record's content, as its name has it."""
    return key.rpartition("-")[2].partition(".")[0]


@contextmanager
def _of_ours(url: str) -> Iterator[None]:
    """What can't be understood was written by somebody else, however it is called."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OpsError(
            url,
            cause=f"it is no record of ours: {type(error).__name__} {error}",
            next_step="find out who wrote it, and remove it",
        ) from error


def _events(prefix: str) -> str:
    return f"{prefix}/records/events/"


def _ledger(prefix: str) -> str:
    return f"{prefix}/records/ledger/"


def _drills(prefix: str) -> str:
    return f"{prefix}/records/drills/"


def _document(stem: str, ending: str, text: str) -> Document:
    body = text.encode()
    return Document(f"{stem}-{hashlib.sha256(body).hexdigest()[:32]}.{ending}", body)


def read_record(bucket: Bucket, key: str) -> bytes:
    """A record's content; an OpsError unless it is what its name says."""
    body = read_current(bucket, key)
    if hashlib.sha256(body).hexdigest()[:32] != named_digest(key):
        raise OpsError(
            bucket.url(key),
            cause="its content is not what was written: the SHA-256 in its name is another",
            next_step="look at the object's versions, and remove the one that was put above ours",
        )
    return body


def _parsed_events(bucket: Bucket, key: str, body: bytes) -> Iterator[Event]:
    for line in body.decode(errors="replace").splitlines():
        with _of_ours(bucket.url(key)):
            data = json.loads(line)
            event = Event(data["kind"], datetime.fromisoformat(data["at"]), dict(data["record"]))
        if event.kind not in get_args(EventKind):
            raise OpsError(
                bucket.url(key),
                cause=f"it holds a record of the kind {event.kind}, which this version does not "
                "know",
                next_step="use the version of ft-ops that wrote it, or a later one",
            )
        yield event


def _parsed_generation(bucket: Bucket, key: str, body: bytes) -> GenerationRecord:
    with _of_ours(bucket.url(key)):
        data = json.loads(body)
        return GenerationRecord(
            Month.parse(data["month"]),
            int(data["generation"]),
            datetime.fromisoformat(data["updated_at"]),
            dict(data["row"]),
        )
