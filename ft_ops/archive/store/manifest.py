"""The document beside an archive by which a stranger reads and checks it without this project."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

from ft_ops.archive.month.content import TABLES, Column
from ft_ops.archive.month.digest import MonthDigests, total
from ft_ops.archive.month.ledger import Generation
from ft_ops.s3.objects import StoredObject, WrongContent

FORMAT: Final = "familytales-archive/1"

HOW_TO_READ: Final = (
    "Each object is a Parquet file (zstd). Its columns are those of `columns`, plus family_id, the "
    "family that the row belonged to when it was archived. uuid is a 16-byte UUID, jsonb is its "
    "text, timestamptz is microseconds in UTC, text[] is a list. Create the tables from `columns`, "
    "load each object with any Parquet reader, and compare the rows with `digests`: over all rows "
    "of a table, under TimeZone UTC, DateStyle ISO, extra_float_digits 1, bytea_output hex, "
    'sum(hashtextextended((ROW(all columns in order)::text) COLLATE "C", 0)::numeric), and the '
    "same with seed 1, are the two numbers (in hexadecimal) behind the row count. A link appears "
    "in the archive of each month that holds one of its ends."
)


def build_manifest(
    generation: Generation,
    digests: MonthDigests,
    certificate: Mapping[str, object],
    *,
    bucket: str,
) -> bytes:
    """The manifest of a proven generation, as JSON in UTF-8."""
    columns = generation.require_columns()
    document = {
        "format": FORMAT,
        "month": str(generation.month),
        "generation": generation.number,
        "from": generation.month.start.isoformat(),
        "to": generation.month.end.isoformat(),
        "created_at": datetime.now(UTC).isoformat(),
        "how_to_read": HOW_TO_READ,
        "tables": {
            table: {
                "rows": total(digests[table]).rows,
                "digest": str(total(digests[table])),
                "columns": [asdict(column) for column in columns[table]],
                "ddl": _ddl(table, columns[table]),
            }
            for table in TABLES
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
            }
            for item in generation.objects
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
    for table, columns in generation.require_columns().items():
        entry = document["tables"].get(table, {})
        if entry.get("digest") != str(total(generation.require_digests()[table])):
            wrong.append(f"the digest of {table}")
        if entry.get("columns") != [asdict(column) for column in columns]:
            wrong.append(f"the columns of {table}")
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


def _ddl(table: str, columns: tuple[Column, ...]) -> str:
    lines = [
        f'    "{column.name}" {column.type}{" NOT NULL" if column.not_null else ""}'
        for column in columns
    ]
    return f"CREATE TABLE {table} (\n" + ",\n".join(lines) + "\n);"
