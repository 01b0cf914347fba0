"""How large the volumes of an RDS instance are, by its API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ft_ops.backups.rds.instances import read_instance

if TYPE_CHECKING:
    from mypy_boto3_rds import RDSClient

_GIBIBYTE: Final = 1 << 30
_LOG_VOLUME: Final = 1000 * _GIBIBYTE
"""A dedicated log volume has this size, whatever the instance's."""
_ENLARGED_AT: Final = 0.95
"""RDS enlarges a volume of which less than a tenth is free, within minutes."""


@dataclass(frozen=True, slots=True)
class ProvidedStorage:
    """Bytes that are allocated now, and up to which RDS enlarges them by itself.

    ``log_bytes``: the size of the log's own volume; None: it has none.
    """

    allocated_bytes: int
    most_bytes: int
    log_bytes: int | None

    def size_for(self, used_bytes: int) -> int:
        """What counts as the volume's size: as large as it may get, if it still gets larger.

        One that is nearly full has not been enlarged although it should have been: it was a few
        hours ago, and is not again so soon. Then only what is there counts.
        """
        is_late = used_bytes >= _ENLARGED_AT * self.allocated_bytes
        return self.allocated_bytes if is_late else self.most_bytes


def instance_storage(client: RDSClient, identifier: str) -> ProvidedStorage | None:
    """An instance's storage; None of an Aurora cluster's, whose storage has no size of its own.

    An OpsError when there is no such instance, or when we may not look.
    """
    found = read_instance(client, identifier)
    if found.get("Engine", "").startswith("aurora"):
        return None
    allocated = found["AllocatedStorage"] * _GIBIBYTE
    most = found.get("MaxAllocatedStorage", 0) * _GIBIBYTE
    log = _LOG_VOLUME if found.get("DedicatedLogVolume") else None
    return ProvidedStorage(allocated, max(allocated, most), log)
