"""The archive: months older than the retention move to S3/Glacier, provably, and back."""

from ft_ops.archive.cancellation import cancel
from ft_ops.archive.erase.held import record_archived
from ft_ops.archive.hold.holds import add_hold, list_holds, release_hold
from ft_ops.archive.hold.lines import hold_lines
<<<<<<< HEAD
from ft_ops.archive.keep.adopt import adopt
from ft_ops.archive.month.content import TABLES
from ft_ops.archive.month.digest import MonthDigests, differences, total
from ft_ops.archive.month.ledger import generations, latest
from ft_ops.archive.move.preflight import due_months
from ft_ops.archive.reading import archive_statements, hot_digests, stored_digests
=======
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
from ft_ops.archive.reading import archive_statements, hot_digests, stored_digests
>>>>>>> 790eec8 (Print the tables by which Athena and DuckDB read the archive; prove an archive of 16 on 18 and by no server)
from ft_ops.archive.replica.mend import mend
from ft_ops.archive.run import archive_run
from ft_ops.archive.status import standings, stored_bytes

__all__ = [
    "TABLES",
    "MonthDigests",
    "add_hold",
    "adopt",
    "archive_run",
    "archive_statements",
<<<<<<< HEAD
=======
    "archive_statements",
    "archived_name",
>>>>>>> 790eec8 (Print the tables by which Athena and DuckDB read the archive; prove an archive of 16 on 18 and by no server)
    "cancel",
    "differences",
    "due_months",
    "generations",
    "hold_lines",
    "hot_digests",
    "latest",
    "list_holds",
    "mend",
    "record_archived",
    "release_hold",
    "standings",
    "stored_bytes",
    "stored_digests",
    "total",
]
