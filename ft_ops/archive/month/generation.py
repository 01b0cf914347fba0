"""A generation: one row of `ops.archive`, what it holds, and where that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from ft_ops.archive.month.content import Content, content_from_json, content_of_columns
from ft_ops.archive.month.digest import MonthDigests, buckets_from_json, buckets_to_json
from ft_ops.archive.month.relation import Recorded
from ft_ops.archive.month.states import IN_DATABASE, Ledger, Origin, State, month_words
from ft_ops.archive.month.units import RemovalProgress
from ft_ops.errors import OpsError
from ft_ops.months import Month
from ft_ops.s3.objects import StoredObject


@dataclass(frozen=True, slots=True)
class ArchivedObject:
    """One Parquet object of a generation: which table, which part, how many rows.

    ``bounds`` are the least and the greatest value of a column, as text: of ids and moments only,
    because they stay where no erasure looks for content. Archives of earlier versions have none.
    """

    table: str
    part: int
    rows: int
    stored: StoredObject
    bounds: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Read:
    """When rows were read: the moment, and its place in the order of all that was read."""

    as_of: datetime
    sequence: int | None


@dataclass(frozen=True, slots=True)
class Generation:
    """One row of the ledger. ``as_of`` is the moment whose rows it holds.

    ``sequence`` says of two generations, of whatever months, which was read later; None: one of an
    earlier version, which comes before.
    ``sha256`` is by table the digest that needs no PostgreSQL
    (`ft_ops.archive.store.verify_archive`). ``leftovers`` are versions, by key and id, that frozen
    ones replace and that can't go yet.
    """

    month: Month
    number: int
    state: State
    origin: Origin
    relation: Recorded | None
    content: Content | None
    objects: tuple[ArchivedObject, ...]
    manifest: StoredObject | None
    digests: MonthDigests | None
    sha256: Mapping[str, str] | None
    certificate: Mapping[str, object] | None
    purged: RemovalProgress
    replaced_by: int | None
    leftovers: tuple[tuple[str, str], ...]
    as_of: datetime | None
    archived_at: datetime | None
    exported_at: datetime | None
    proven_at: datetime | None
    frozen_at: datetime | None
    purged_at: datetime | None
    ledger: Ledger = "archive"
    sequence: int | None = None

    @property
    def name(self) -> str:
        return f"{month_words(self.month, self.ledger)} generation {self.number}"

    @property
    def asset(self) -> str:
        """The asset that goes on with it."""
        return "content_archive" if self.ledger == "archive" else "archived_audit_log"

    def scratch(self, purpose: str) -> str:
        """What its scratch tables are named after: a month has generations in both ledgers."""
        return purpose if self.ledger == "archive" else f"{purpose}_audit"

    @property
    def rows(self) -> dict[str, int]:
        """Archived rows by table; the list of subjects beside them has none of them."""
        counts: dict[str, int] = {}
        for item in self.parts():
            counts[item.table] = counts.get(item.table, 0) + item.rows
        return counts

    @property
    def bytes(self) -> int:
        return sum(item.stored.bytes for item in self.objects)

    @property
    def is_in_database(self) -> bool:
        """Whether its rows are in the database, rather than only in the archive."""
        return self.origin == "database" and self.state in IN_DATABASE

    @property
    def certificate_key(self) -> str:
        """Where the certificate is: beside the manifest; an OpsError before the proof."""
        return f"{self.require_manifest().key.rpartition('/')[0]}/certificate.json"

    def parts(self) -> tuple[ArchivedObject, ...]:
        """The objects that hold content: those that go to Glacier."""
        tables = self.require_content().names if self.objects else ()
        return tuple(item for item in self.objects if item.table in tables)

    def require_content(self) -> Content:
        """The tables and columns that were exported; an OpsError before the export."""
        if self.content is None:
            raise self._unfinished("names no columns")
        return self.content

    def require_digests(self) -> MonthDigests:
        """The proven digests; an OpsError before the proof."""
        if self.digests is None:
            raise self._unfinished("holds no digest")
        return self.digests

    def require_as_of(self) -> datetime:
        """The moment whose rows it holds; an OpsError before the export."""
        if self.as_of is None:
            raise self._unfinished("holds no moment")
        return self.as_of

    def require_read(self) -> Read:
        """When its rows were read; an OpsError before the export."""
        return Read(self.require_as_of(), self.sequence)

    def require_manifest(self) -> StoredObject:
        """Where the manifest is; an OpsError before the proof."""
        if self.manifest is None:
            raise self._unfinished("names no manifest")
        return self.manifest

    def _unfinished(self, missing: str) -> OpsError:
        return OpsError(
            f"archive of {self.name}",
            cause=f"the ledger {missing} for it, and its state is {self.state}",
            next_step=f"materialize {self.asset} for this month",
        )


_MOMENTS = ("as_of", "archived_at", "exported_at", "proven_at", "frozen_at", "purged_at")
OBJECTS = TypeAdapter(tuple[ArchivedObject, ...])
STORED = TypeAdapter(StoredObject)


def digests_to_json(digests: MonthDigests) -> dict[str, dict[str, str]]:
    """Digests as the ledger keeps them."""
    return {table: buckets_to_json(buckets) for table, buckets in digests.items()}


def digests_from_json(data: Mapping[str, Mapping[str, str]]) -> MonthDigests:
    """The inverse of `digests_to_json`."""
    return {table: buckets_from_json(buckets) for table, buckets in data.items()}


def generation_of_row(ledger: Ledger = "archive", /, **row: Any) -> Generation:
    """A row of the ledger as psycopg's kwargs_row has it; the table sets the columns' types."""
    content = row["content"] and content_from_json(row["content"])
    return Generation(
        month=Month.of(row["month"]),
        number=row["generation"],
        state=row["state"],
        origin=row["origin"],
        relation=row["relation"] and Recorded(row["relation"], row["relation_name"]),
        content=content or (row["columns"] and content_of_columns(row["columns"])),
        objects=OBJECTS.validate_python(row["objects"]),
        manifest=row["manifest"] and STORED.validate_python(row["manifest"]),
        digests=row["digests"] and digests_from_json(row["digests"]),
        sha256=row["sha256"],
        certificate=row["certificate"],
        purged=RemovalProgress(row["purged_through"], frozenset(row["purged_buckets"])),
        replaced_by=row["replaced_by"],
        leftovers=tuple((left["key"], left["version_id"]) for left in row["leftovers"]),
        **{name: row[name] for name in _MOMENTS},
        ledger=ledger,
        sequence=row["sequence"],
    )
