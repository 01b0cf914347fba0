"""The archive: months older than the retention move to S3/Glacier, provably, and back."""

from ft_ops.archive.audit.keep import adopt_both
from ft_ops.archive.audit.months import archived_audit_months
from ft_ops.archive.cancellation import cancel
from ft_ops.archive.claims.claim import require_folder
from ft_ops.archive.cost.prices import Prices, load_prices
from ft_ops.archive.erase.held import Search, record_archived, search_before
from ft_ops.archive.hold.holds import (
    HeldSubject,
    add_hold,
    add_searched_hold,
    list_holds,
    release_hold,
)
from ft_ops.archive.hold.lines import hold_lines
from ft_ops.archive.month.content import TABLES
from ft_ops.archive.month.digest import MonthDigests, differences, total
from ft_ops.archive.month.ledger import generations, latest
from ft_ops.archive.move.preflight import due_months
from ft_ops.archive.reading import archive_statements, hot_digests, stored_digests, write_iceberg
from ft_ops.archive.replica.mend import mend
from ft_ops.archive.run import Run, archive_run
from ft_ops.archive.status import standings, stored_bytes
from ft_ops.archive.thaw.beside import (
    TIERS,
    MonthBeside,
    ask_for,
    cold_parts,
    month_beside,
    proven_generations,
    refuse_cold,
)
from ft_ops.archive.thaw.retrieval_cost import ThawEstimate

__all__ = [
    "TABLES",
    "TIERS",
    "HeldSubject",
    "MonthBeside",
    "MonthDigests",
    "Prices",
    "Run",
    "Search",
    "ThawEstimate",
    "add_hold",
    "add_searched_hold",
    "adopt_both",
    "archive_run",
    "archive_statements",
    "archived_audit_months",
    "ask_for",
    "cancel",
    "cold_parts",
    "differences",
    "due_months",
    "generations",
    "hold_lines",
    "hot_digests",
    "latest",
    "list_holds",
    "load_prices",
    "mend",
    "month_beside",
    "proven_generations",
    "record_archived",
    "refuse_cold",
    "release_hold",
    "require_folder",
    "search_before",
    "standings",
    "stored_bytes",
    "stored_digests",
    "total",
    "write_iceberg",
]
