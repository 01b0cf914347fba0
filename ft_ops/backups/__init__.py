"""Backups that are proven by restoring them."""

from ft_ops.backups.holding import (
    acknowledge_backup,
    discard_pieces,
    hold_backup,
    list_backups,
    needs_a_look,
    release_backup,
)
from ft_ops.backups.inventory.ages import is_stale
from ft_ops.backups.inventory.verified import VerifiedBackup, newest_verified_backup
from ft_ops.backups.providers import Workplace, open_workplace
from ft_ops.backups.restored import RestoredCopyAt, restored_copy
from ft_ops.backups.status import standings

__all__ = [
    "RestoredCopyAt",
    "VerifiedBackup",
    "Workplace",
    "acknowledge_backup",
    "discard_pieces",
    "hold_backup",
    "is_stale",
    "list_backups",
    "needs_a_look",
    "newest_verified_backup",
    "open_workplace",
    "release_backup",
    "restored_copy",
    "standings",
]
