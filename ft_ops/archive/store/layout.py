"""Where a generation's objects lie: Hive-style keys, so that engines find months by partition."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from ft_ops.months import Month


def part_key(prefix: str, table: str, month: Month, generation: int, part: int) -> str:
    """``archive/table=content_segments/year=2017/month=03/gen=1/part-00000.parquet``."""
    return f"{_folder(prefix, table, month, generation)}/part-{part:05d}.parquet"


def manifest_key(prefix: str, month: Month, generation: int) -> str:
    """The manifest's key; it stays in STANDARD whatever becomes of the parts."""
    return f"{_folder(prefix, 'manifest', month, generation)}/manifest.json"


def document_prefixes(prefix: str) -> tuple[str, ...]:
    """The folders of what stays in STANDARD and is small: records, and what is beside manifests."""
    return tuple(
        folder
        for root in (prefix, audit_prefix(prefix))
        for folder in (records_prefix(root), f"{root}/table=manifest/")
    )


def audit_prefix(prefix: str) -> str:
    """The folder of the audit log's months, which is laid out as the archive's own."""
    return f"{prefix}/audit_log"


def records_prefix(prefix: str) -> str:
    """The folder of tombstones, holds, the ledger's rows and drills."""
    return f"{prefix}/records/"


def iceberg_folder(prefix: str) -> str:
    """The folder of Iceberg's metadata: they name the objects, and can be written anew."""
    return f"{prefix}/iceberg"


def generation_prefixes(
    prefix: str, tables: Iterable[str], month: Month, generation: int
) -> list[str]:
    """Every folder that holds objects of a generation, each with its closing slash."""
    return [f"{_folder(prefix, table, month, generation)}/" for table in (*tables, "manifest")]


def _folder(prefix: str, table: str, month: Month, generation: int) -> str:
    # A table may have any name; an engine that reads Hive's keys wants no slash in it.
    folder = f"{prefix}/table={quote(table, safe='')}"
    return f"{folder}/year={month.year:04d}/month={month.month:02d}/gen={generation}"
