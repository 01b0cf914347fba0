"""How many bytes families and users occupy: exact, incremental, of one snapshot."""

from ft_ops.storage.publish import Published, publish_families, publish_users
from ft_ops.storage.recompute import Recomputation, recompute_changed, recompute_everything
from ft_ops.storage.snapshot import Snapshot, latest_snapshot
from ft_ops.storage.status import content_bytes, standings

__all__ = [
    "Published",
    "Recomputation",
    "Snapshot",
    "content_bytes",
    "latest_snapshot",
    "publish_families",
    "publish_users",
    "recompute_changed",
    "recompute_everything",
    "standings",
]
