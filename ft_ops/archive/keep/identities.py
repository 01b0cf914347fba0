"""The ids and numbers of archived segments, from the lists of what was proven."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow.parquet as pq
from psycopg import sql

from ft_ops.archive.copies.read import fetch
from ft_ops.archive.month.generation import OBJECTS
from ft_ops.archive.month.source import scratch_table
from ft_ops.archive.proof.load import drop_scratch
from ft_ops.archive.recorded.records import GenerationRecord
from ft_ops.archive.run import Run
from ft_ops.archive.store.parquet import arrow_connection, read_batches
from ft_ops.archive.store.unit_lists import IDENTITY, UNITS
from ft_ops.pg.sqlfiles import statement


def adopt_identities(run: Run, record: GenerationRecord) -> None:
    """Keep the ids and numbers of a generation's segments from being used again.

    Lists of earlier versions hold no numbers: such a segment is found displaced when it is thawed
    after somebody took its number.
    """
    lists = [o for o in OBJECTS.validate_python(record.row["objects"]) if o.table == UNITS]
    for item in lists:
        with tempfile.TemporaryFile(prefix="ft-archive-") as file:
            path = Path(f"/dev/fd/{file.fileno()}")
            fetch(run, item.stored, path)
            if set(IDENTITY) <= set(pq.read_schema(path).names):
                _insert(run, record, path)


def _insert(run: Run, record: GenerationRecord, path: Path) -> None:
    name = scratch_table("adopt", record.month, record.generation, 0)
    identities = sql.Identifier("ops", name)
    drop_scratch(run.connection, [name])
    run.connection.execute(statement("archive/create_identities").format(identities=identities))
    try:
        with arrow_connection(run.url) as arrow, arrow.cursor() as cursor:
            cursor.adbc_ingest(
                name,
                read_batches(path, list(IDENTITY), run.pace),
                mode="append",
                db_schema_name="ops",
            )
        run.connection.execute(statement("archive/adopt_identities").format(identities=identities))
    finally:
        drop_scratch(run.connection, [name])
