"""The archive: months older than the retention move to S3/Glacier, provably, and back."""

from ft_ops.archive.erase.held import record_archived
from ft_ops.archive.month.content import TABLES, archived_name, hot_source, live_columns
from ft_ops.archive.month.digest import MonthDigests, differences, month_digests, total
from ft_ops.archive.month.hold_lines import hold_lines
from ft_ops.archive.month.holds import LegalHold, add_hold, list_holds, release_hold
from ft_ops.archive.month.ledger import Generation, all_latest, generations, latest
from ft_ops.archive.move.move import Move, move_month
from ft_ops.archive.move.preflight import due_months, preflight
from ft_ops.archive.proof.load import loaded
from ft_ops.archive.proof.workflow import archive_content
from ft_ops.archive.purge.purge import plan_purge, purge_month
from ft_ops.archive.status import standings, stored_bytes
from ft_ops.archive.store.export import ArchiveTarget

__all__ = [
    "TABLES",
    "ArchiveTarget",
    "Generation",
    "LegalHold",
    "MonthDigests",
    "Move",
    "add_hold",
    "all_latest",
    "archive_content",
    "archived_name",
    "differences",
    "due_months",
    "generations",
    "hold_lines",
    "hot_source",
    "latest",
    "list_holds",
    "live_columns",
    "loaded",
    "month_digests",
    "move_month",
    "plan_purge",
    "preflight",
    "purge_month",
    "record_archived",
    "release_hold",
    "standings",
    "stored_bytes",
    "total",
]
