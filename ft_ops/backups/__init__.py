"""Backups that are proven by restoring them."""

from ft_ops.backups.inventory.verified import VerifiedBackup, newest_verified_backup
from ft_ops.backups.status import standings

__all__ = ["VerifiedBackup", "newest_verified_backup", "standings"]
