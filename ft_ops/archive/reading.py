"""What a month is, by its digests, and how others read it."""

from __future__ import annotations

from pathlib import Path

from ft_ops.archive.ddl import Engine, statements_for
from ft_ops.archive.month.catalog import read_content
from ft_ops.archive.month.digest import MonthDigests, month_digests
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.in_states import all_stored
from ft_ops.archive.month.source import hot_source
from ft_ops.archive.proof.load import loaded
from ft_ops.archive.run import Run
from ft_ops.archive.store.iceberg import Iceberg, write_tables
from ft_ops.archive.store.layout import iceberg_folder
from ft_ops.errors import OpsError
from ft_ops.months import Month
from ft_ops.pg.connect import Connection


def hot_digests(connection: Connection, month: Month) -> MonthDigests:
    """The digests of a month that is a partition of content_segments."""
    content = read_content(connection)
    return month_digests(connection, content, hot_source(content, month))


def stored_digests(run: Run, generation: Generation) -> MonthDigests:
    """The digests of what the bucket holds of a generation, which is read back and loaded.

    Its objects must be readable: those in Glacier have been asked for.
    """
    with loaded(run, generation, purpose="read") as source:
        return month_digests(run.connection, generation.require_content(), source)


def write_iceberg(run: Run, location: str | None = None) -> Iceberg:
    """Write the metadata of Iceberg over all that is archived; by default into the bucket itself.

    What it can't hold is in the result, by name.
    """
    where = location or run.bucket.url(iceberg_folder(run.target.prefix))
    _require_place(where, only_s3=False)
    return write_tables(run.bucket, all_stored(run.connection), where)


def archive_statements(connection: Connection, engine: Engine, location: str) -> list[str]:
    """The statements by which another engine reads the archive of today's tables.

    ``location`` is the archive's folder, such as s3://bucket/archive.
    """
    _require_place(location, only_s3=engine == "athena")
    return statements_for(engine, read_content(connection), location)


def _require_place(location: str, *, only_s3: bool) -> None:
    """Refuse what is neither s3://bucket… nor (but for ``only_s3``) a folder, or a path for one."""
    scheme, is_url, rest = location.rpartition("://")
    if is_url:
        problem = "" if scheme == "s3" and rest.strip("/") else "it is no s3://bucket/folder"
    elif only_s3:
        problem = "Athena reads s3:// alone"
    else:
        problem = "it is a file" if Path(location).is_file() else ""
    if problem:
        raise OpsError(
            f"location {location}",
            cause=problem,
            next_step="name a folder of S3" + ("" if only_s3 else ", or one of this machine"),
        )
