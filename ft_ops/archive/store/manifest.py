"""The document beside an archive by which a stranger reads and checks it without this project."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

from ft_ops.archive.month.content import Column, Table, columns_from_json, table_to_json
from ft_ops.archive.month.digest import MonthDigests, total
from ft_ops.archive.month.generation import ArchivedObject, Generation
from ft_ops.s3.objects import StoredObject, WrongContent

FORMAT: Final = "familytales-archive/2"
"""1 had no keys, paths, defaults and checks, and held every value in Arrow's own type."""

HOW_TO_READ: Final = (
    "Each object is a Parquet file (zstd). Its columns are those of `columns` that are not "
    "`generated`, plus `family_column`, the family that the row belonged to when it was archived. "
    "uuid is a 16-byte UUID, json and jsonb are their text, timestamptz is microseconds in UTC, "
    "arrays are lists; a column `as_text` holds the text that PostgreSQL makes of its type. Create "
    "the tables from `ddl`, load each object with any Parquet reader, and compare the rows with "
    "`digest`: over all rows of a table, under TimeZone UTC, DateStyle ISO, extra_float_digits 1, "
    'bytea_output hex, sum(hashtextextended((ROW(all stored columns in order)::text) COLLATE "C", '
    "0)::numeric), and the same with seed 1, are the two numbers (in hexadecimal) behind the row "
    "count. A row of a table with several `paths` (a link) appears in the archive of each month "
    "that holds one of its ends; of several versions the one with the largest `sequence` counts, "
    "or, where no manifest has one, the one `as_of` the latest moment. "
    "`sha256` is a digest that needs no PostgreSQL: the program `verified_by` in this bucket "
    "computes it from the objects, and says how."
)


def build_manifest(
    generation: Generation,
    objects: Sequence[ArchivedObject],
    digests: MonthDigests,
    certificate: Mapping[str, object],
    *,
    bucket: str,
    program: str,
) -> bytes:
    """The manifest of a proven generation, as JSON in UTF-8."""
    document = {
        "format": FORMAT,
        "month": str(generation.month),
        "generation": generation.number,
        "from": generation.month.start.isoformat(),
        "to": generation.month.end.isoformat(),
        "as_of": generation.require_as_of().isoformat(),
        "sequence": generation.sequence,
        "created_at": datetime.now(UTC).isoformat(),
        "how_to_read": HOW_TO_READ,
        "verified_by": program,
        "tables": {
            table.name: {
                "rows": total(digests[table.name]).rows,
                "digest": str(total(digests[table.name])),
                "sha256": (generation.sha256 or {}).get(table.name),
                "family_column": table.family_column,
                **table_to_json(table),
                "ddl": _ddl(table),
            }
            for table in generation.require_content()
        },
        "objects": [
            {
                "table": item.table,
                "part": item.part,
                "rows": item.rows,
                "bucket": bucket,
                "key": item.stored.key,
                "version_id_when_exported": item.stored.version_id,
                "bytes": item.stored.bytes,
                "sha256": item.stored.sha256,
                "bounds": {name: [lower, upper] for name, lower, upper in item.bounds},
            }
            for item in objects
        ],
        "certificate": dict(certificate),
    }
    return json.dumps(document, indent=1, ensure_ascii=False).encode()


def refuse_other_manifest(generation: Generation, body: bytes, stored: StoredObject) -> None:
    """WrongContent unless the manifest says of its generation what the ledger says."""
    document = json.loads(body)
    said = {(o["key"], o["bytes"], o["sha256"], o["rows"]) for o in document["objects"]}
    known = {(o.stored.key, o.stored.bytes, o.stored.sha256, o.rows) for o in generation.objects}
    wrong = [] if said == known else ["the objects"]
    for table in generation.require_content():
        entry = document["tables"].get(table.name, {})
        if entry.get("digest") != str(total(generation.require_digests()[table.name])):
            wrong.append(f"the digest of {table.name}")
        if columns_from_json(entry.get("columns", [])) != table.columns:
            wrong.append(f"the columns of {table.name}")
    if wrong:
        raise WrongContent(
            f"manifest {stored.key} version {stored.version_id}",
            cause=f"it and the ledger disagree about {', '.join(wrong)}",
            next_step="find out who wrote it; then export "
            f"{generation.month} as the next generation",
        )


def software(server_version: str) -> dict[str, str]:
    """What wrote an archive or a certificate, name by name."""
    packages = ("ft-ops", "pyarrow", "adbc-driver-postgresql", "boto3")
    return {
        "postgresql": server_version,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def _ddl(table: Table) -> str:
    lines = [f"    {_defined(column)}" for column in table.stored]
    return f"CREATE TABLE {_quoted(table.relname)} (\n" + ",\n".join(lines) + "\n);"


def _defined(column: Column) -> str:
    return f"{_quoted(column.name)} {column.type}{' NOT NULL' if column.not_null else ''}"


def _quoted(name: str) -> str:
    """A name as an SQL identifier, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'
