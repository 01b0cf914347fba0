"""The archive as tables of Apache Iceberg: metadata over the objects that are there.

No object is written anew, moved or read. What is known of each comes from the ledger: its rows, its
bytes, and the bounds of its ids and moments. So a reader counts and prunes what lies in Glacier
without a thaw; it fails when it reads such a month. The metadata are made from the ledger whenever
somebody asks for them, and each time anew: they are a view of one moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote
from uuid import UUID

import boto3

from ft_ops.archive.month.content import Table
from ft_ops.archive.month.generation import ArchivedObject, Generation
from ft_ops.errors import OpsError
from ft_ops.items import Failed, each
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.glacier import availability

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile
    from pyiceberg.schema import Schema
    from pyiceberg.types import IcebergType

_CONSTANTS: Final = ("year", "month", "gen", "storage_class")
"""What every row of an object has in common: no file holds them, the metadata do."""

_HINT: Final = "version-hint.text"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class IcebergTable:
    """A table that was written: where, and how many rows the metadata count in how many objects."""

    name: str
    metadata: str
    rows: int
    objects: int


@dataclass(frozen=True, slots=True)
class IcebergMonth:
    """One generation: its class, and whether its objects can be read at this moment."""

    generation: str
    storage_class: str
    readable: bool


@dataclass(frozen=True, slots=True)
class Iceberg:
    """What was written, and what was left out, by name."""

    tables: tuple[IcebergTable, ...]
    months: tuple[IcebergMonth, ...]
    failed: tuple[Failed, ...]


def write_tables(bucket: Bucket, kept: Sequence[Generation], location: str) -> Iceberg:
    """Write a table of Iceberg for each table of content, over the objects of ``kept``.

    ``location`` is a folder, or s3://…; each table gets a folder of its own in it, and the newest
    metadata are named by `metadata/version-hint.text` there, which is written last. A generation of
    which an object is gone, or whose columns don't fit those of later ones, is named and left out.
    """
    try:
        from pyiceberg.catalog.memory import InMemoryCatalog
    except ImportError as error:
        raise OpsError(
            "Iceberg",
            cause=f"the package pyiceberg is not there: {error}",
            next_step="install the extra: pip install 'ft-ops[iceberg]'",
        ) from error
    newest_first = sorted(kept, key=lambda g: (g.month, g.number), reverse=True)
    looked = each(newest_first, lambda g: _look(bucket, g), name=lambda g: g.name)
    gone = {failed.name for failed in looked.failed}
    there = [generation for generation in newest_first if generation.name not in gone]
    root = location.rstrip("/") if "://" in location else f"file://{location.rstrip('/')}"
    catalog = InMemoryCatalog("archive", warehouse=root, **_access(bucket))
    catalog.create_namespace("archive")
    names = dict.fromkeys(name for g in there for name in g.require_content().names)
    written = each(
        names, lambda name: _write(catalog, bucket, name, there, root), name=lambda n: f"table {n}"
    )
    return Iceberg(
        tuple(table for table, _ in written.results),
        tuple(sorted(looked.results, key=lambda month: month.generation)),
        (*looked.failed, *written.failed, *(f for _, left in written.results for f in left)),
    )


def _look(bucket: Bucket, generation: Generation) -> IcebergMonth:
    """Ask for each object that holds content: it must be there. One HEAD an object."""
    parts = generation.parts()
    readable = [availability(bucket, item.stored).readable for item in parts]
    classes = dict.fromkeys(item.stored.storage_class for item in parts)
    return IcebergMonth(generation.name, ", ".join(classes), all(readable))


def _write(
    catalog: Any, bucket: Bucket, name: str, kept: Sequence[Generation], root: str
) -> tuple[IcebergTable, tuple[Failed, ...]]:
    """Write one table in one commit; with the generations that its columns don't fit."""
    tables = {g.name: g.require_content()[name] for g in kept if name in g.require_content()}
    columns: dict[str, IcebergType] = {}
    fitted = each(tables, lambda key: _fit(columns, tables[key]), name=lambda key: f"{key}, {name}")
    unfit = {failed.name for failed in fitted.failed}
    chosen = [g for g in kept if g.name in tables and f"{g.name}, {name}" not in unfit]
    parts = [(g, item) for g in chosen for item in g.parts() if item.table == name]
    schema, spec = _schema(columns)
    relname = next(iter(tables.values())).relname
    with catalog.create_table_transaction(
        ("archive", relname),
        schema,
        location=f"{root}/{quote(name, safe='')}",
        partition_spec=spec,
        # The files bear no ids of columns: they are found by name.
        properties={"schema.name-mapping.default": schema.name_mapping.model_dump_json()},
    ) as transaction:
        # Iceberg numbers the columns anew.
        schema = transaction.table_metadata.schema()
        with transaction.update_snapshot().fast_append() as append:
            for generation, item in parts:
                append.append_data_file(_data_file(bucket, generation, item, schema))
    table = catalog.load_table(("archive", relname))
    _name_newest(table)
    rows = sum(item.rows for _, item in parts)
    return IcebergTable(name, table.metadata_location, rows, len(parts)), fitted.failed


def _name_newest(table: Any) -> None:
    """Say which metadata are the newest, for whoever has the folder and no catalogue."""
    hint = table.io.new_output(f"{table.location()}/metadata/{_HINT}")
    with hint.create(overwrite=True) as stream:
        stream.write(
            table.metadata_location.rpartition("/")[2].removesuffix(".metadata.json").encode()
        )


def _fit(columns: dict[str, IcebergType], table: Table) -> None:
    """Add a generation's columns to those of later ones; an OpsError if one has another type."""
    mine = dict(_columns(table))
    other = [name for name, kind in mine.items() if columns.get(name, kind) != kind]
    if other:
        told = ", ".join(f"{name} holds {mine[name]}, later {columns[name]}" for name in other)
        raise OpsError(
            f"table {table.name}",
            cause=f"its columns are others than in later months: {told}",
            next_step="read this month by itself: docs/archive-format.md",
        )
    for name, kind in mine.items():
        columns.setdefault(name, kind)


def _columns(table: Table) -> Iterator[tuple[str, IcebergType]]:
    from pyiceberg import types

    by_type: Mapping[str, IcebergType] = {
        "uuid": types.UUIDType(),
        "bytea": types.BinaryType(),
        "smallint": types.IntegerType(),
        "integer": types.IntegerType(),
        "bigint": types.LongType(),
        "boolean": types.BooleanType(),
        "real": types.FloatType(),
        "double precision": types.DoubleType(),
        "date": types.DateType(),
    }
    for column in table.stored:
        element = column.type.removesuffix("[]")
        moment = types.TimestamptzType() if "with time zone" in element else types.TimestampType()
        kind = by_type.get(element, moment if element.startswith("timestamp") else None)
        if column.as_text or kind is None:
            kind = types.StringType()
        if element != column.type and not column.as_text:
            kind = types.ListType(0, kind, element_required=False)
        yield column.name, kind
    yield table.family_column, types.UUIDType()


def _schema(columns: Mapping[str, IcebergType]) -> tuple[Schema, Any]:
    """Everything may be NULL: an older file may lack a column. What is constant comes last."""
    from pyiceberg.partitioning import PartitionField, PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.transforms import IdentityTransform
    from pyiceberg.types import IntegerType, NestedField, StringType

    constants = {
        # A table of content may have a column of that name.
        name if name not in columns else f"archived_{name}": StringType()
        if name == "storage_class"
        else IntegerType()
        for name in _CONSTANTS
    }
    fields = [
        NestedField(number, name, kind, required=False)
        for number, (name, kind) in enumerate([*columns.items(), *constants.items()], 1)
    ]
    first = len(columns) + 1
    spec = PartitionSpec(
        *(
            PartitionField(first + number, 1000 + number, IdentityTransform(), name)
            for number, name in enumerate(constants)
        )
    )
    return Schema(*fields), spec


def _data_file(
    bucket: Bucket, generation: Generation, item: ArchivedObject, schema: Schema
) -> DataFile:
    from pyiceberg.conversions import to_bytes
    from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
    from pyiceberg.typedef import Record
    from pyiceberg.types import PrimitiveType

    lower: dict[int, bytes] = {}
    upper: dict[int, bytes] = {}
    for name, least, greatest in item.bounds:
        field = schema.find_field(name)
        assert isinstance(field.field_type, PrimitiveType)
        lower[field.field_id] = to_bytes(field.field_type, _value(least))
        upper[field.field_id] = to_bytes(field.field_type, _value(greatest))
    month = generation.month
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=bucket.url(item.stored.key),
        file_format=FileFormat.PARQUET,
        partition=Record(month.year, month.month, generation.number, item.stored.storage_class),
        record_count=item.rows,
        file_size_in_bytes=item.stored.bytes,
        lower_bounds=lower,
        upper_bounds=upper,
        spec_id=0,
    )


def _value(text: str) -> UUID | int:
    """A bound as Iceberg has it: an id, or microseconds."""
    if "T" not in text:
        return UUID(text)
    moment = datetime.fromisoformat(text)
    past = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    return (past.days * 86_400 + past.seconds) * 1_000_000 + past.microseconds


def _access(bucket: Bucket) -> dict[str, str]:
    """How Arrow reaches the bucket: as boto3 does. None of it is written into the metadata."""
    session = boto3.DEFAULT_SESSION or boto3.Session()
    credentials = session.get_credentials()
    found: dict[str, str | None] = {
        "s3.endpoint": bucket.client.meta.endpoint_url,
        "s3.region": bucket.client.meta.region_name,
    }
    if credentials is not None:
        frozen = credentials.get_frozen_credentials()
        found |= {
            "s3.access-key-id": frozen.access_key,
            "s3.secret-access-key": frozen.secret_key,
            "s3.session-token": frozen.token,
        }
    return {name: value for name, value in found.items() if value}
