"""How many bytes families and users occupy: exact, incremental, of one snapshot."""

from ft_ops.storage.publish import Published, publish_families, publish_users
from ft_ops.storage.recompute import Recomputation, recompute_changed, recompute_everything
from ft_ops.storage.snapshot import Snapshot, latest_snapshot

__all__ = [
    "Published",
    "Recomputation",
    "Snapshot",
    "latest_snapshot",
    "publish_families",
    "publish_users",
    "recompute_changed",
    "recompute_everything",
]
