"""Backups that are proven by restoring them."""

from ft_ops.backups.drill.checks import fingerprints as compare_with_point
from ft_ops.backups.drill.isolated import isolated, what_holds_it
from ft_ops.backups.drill.session import Aftermath, NextStep, ProvenCopy
from ft_ops.backups.holding import (
    accept_hole,
    acknowledge_backup,
    claim_for,
    discard_pieces,
    hold_backup,
    list_backups,
    needs_a_look,
    release_backup,
    take_backups_over,
)
from ft_ops.backups.inventory.ages import is_stale
from ft_ops.backups.inventory.verified import (
    VerifiedBackup,
    full_was_begun,
    newest_verified_backup,
    oldest_point,
)
from ft_ops.backups.points.beside import Beside, read_beside
from ft_ops.backups.points.bucket_records import write_rehearsal
from ft_ops.backups.points.fingerprint import fingerprint_readable_tables
from ft_ops.backups.points.points import RestorePoint
from ft_ops.backups.points.sums import TableFingerprint
from ft_ops.backups.provider import Examined, Log
from ft_ops.backups.providers import (
    AfterDrill,
    Workplace,
    backup_bucket,
    open_workplace,
    provided_storage,
    retention_rules,
)
from ft_ops.backups.rds.storage import ProvidedStorage
from ft_ops.backups.restored import (
    RestoredCopyAt,
    RestoredServer,
    restored_copy,
    restored_server,
)
from ft_ops.backups.retention.retention import kept_at_most_until
from ft_ops.backups.status import standings
from ft_ops.backups.within import ProgramEnd, run_within

__all__ = [
    "AfterDrill",
    "Aftermath",
    "Beside",
    "Examined",
    "Log",
    "NextStep",
    "ProgramEnd",
    "ProvenCopy",
    "ProvidedStorage",
    "RestorePoint",
    "RestoredCopyAt",
    "RestoredServer",
    "TableFingerprint",
    "VerifiedBackup",
    "Workplace",
    "accept_hole",
    "acknowledge_backup",
    "backup_bucket",
    "claim_for",
    "compare_with_point",
    "discard_pieces",
    "fingerprint_readable_tables",
    "full_was_begun",
    "hold_backup",
    "is_stale",
    "isolated",
    "kept_at_most_until",
    "list_backups",
    "needs_a_look",
    "newest_verified_backup",
    "oldest_point",
    "open_workplace",
    "provided_storage",
    "read_beside",
    "release_backup",
    "restored_copy",
    "restored_server",
    "retention_rules",
    "run_within",
    "standings",
    "take_backups_over",
    "what_holds_it",
    "write_rehearsal",
]
