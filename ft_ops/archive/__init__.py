"""The archive: months older than the retention move to S3/Glacier, provably, and back."""

from ft_ops.archive.cancellation import cancel
from ft_ops.archive.erase.held import record_archived
from ft_ops.archive.hold.holds import LegalHold, add_hold, list_holds, release_hold
from ft_ops.archive.hold.lines import hold_lines
from ft_ops.archive.keep.adopt import Adoption, adopt
from ft_ops.archive.keep.erased import living_erased
from ft_ops.archive.keep.ship import ship_records, unshipped
from ft_ops.archive.month.content import TABLES, archived_name
from ft_ops.archive.month.digest import MonthDigests, differences, month_digests, total
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import all_latest, generations, latest
from ft_ops.archive.move.move import Move, move_month
from ft_ops.archive.move.preflight import due_months, preflight
from ft_ops.archive.proof.workflow import archive_content
from ft_ops.archive.purge.purge import plan_purge, purge_month
from ft_ops.archive.reading import hot_digests, stored_digests
from ft_ops.archive.replica.mend import mend
from ft_ops.archive.run import ArchiveTarget, Run, archive_run
from ft_ops.archive.status import standings, stored_bytes

__all__ = [
    "TABLES",
    "Adoption",
    "ArchiveTarget",
    "Generation",
    "LegalHold",
    "MonthDigests",
    "Move",
    "Run",
    "add_hold",
    "adopt",
    "all_latest",
    "archive_content",
    "archive_run",
    "archived_name",
    "cancel",
    "differences",
    "due_months",
    "generations",
    "hold_lines",
    "hot_digests",
    "latest",
    "list_holds",
    "living_erased",
    "mend",
    "month_digests",
    "move_month",
    "plan_purge",
    "preflight",
    "purge_month",
    "record_archived",
    "release_hold",
    "ship_records",
    "standings",
    "stored_bytes",
    "stored_digests",
    "total",
    "unshipped",
]
