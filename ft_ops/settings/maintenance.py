"""How long maintenance may take, and which indexes are worth a rebuild."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field

from ft_ops.settings.base import RoomSettings, named_sizes


class MaintenanceSettings(RoomSettings):
    """The maintenance's settings."""

    maintenance_window_minutes: int = Field(
        default=240,
        ge=1,
        le=10_080,
        description="Minutes that one run of vacuums, freezes or index rebuilds may take.",
    )
    reindex_min_mb: int = Field(
        default=10,
        ge=0,
        le=10_000_000,
        description="Smaller indexes (MB) are never rebuilt on a schedule.",
    )
    reindex_min_percent: int = Field(
        default=30,
        ge=1,
        le=100,
        description="Share of an index, in percent, that a rebuild must be estimated to "
        "free; twice as much where the estimate is unsure.",
    )
    reindex_min_reclaim_mb: int = Field(
        default=8, ge=0, le=10_000_000, description="MB that a rebuild must be estimated to free."
    )
    reindex_cooldown_days: int = Field(
        default=10, ge=0, le=3_650, description="Days in which a rebuilt index is left alone."
    )
    reindex_longest_snapshot_seconds: int = Field(
        default=30,
        ge=1,
        le=604_800,
        description="An index waits while a snapshot of the database, or a writer on its table, "
        "is open for longer.",
    )
    reindex_max_lag_mb: int = Field(
        default=256,
        ge=0,
        le=10_000_000,
        description="Rebuilds wait while a replica is further behind (MB of WAL).",
    )
    reindex_canary_limit_ms: float = Field(
        default=50.0,
        gt=0,
        le=60_000,
        description="A rebuild is stopped while a small query of the application's kind takes "
        "longer, or five times longer than before it, whichever is more.",
    )
    database_volume_gb: float | None = Field(
        default=None,
        gt=0,
        le=10_000_000,
        description="Size (units of 10^9 bytes) of the volume that holds the server's databases "
        "and WAL and nothing else. Unset, RDS is asked for it, and the volume is looked at where "
        "the server runs on this machine; elsewhere nobody is told when it will be full, and "
        "no index or table is written anew.",
    )
    other_volumes_gb: Annotated[Mapping[str, float], BeforeValidator(named_sizes)] = Field(
        default_factory=dict,
        examples=["fast=200, pg_wal=50"],
        description="Tablespaces, or pg_wal, that have a volume of their own, with its size (units "
        "of 10^9 bytes). All others are on that of FT_DATABASE_VOLUME_GB.",
    )

    @property
    def other_volumes_bytes(self) -> dict[str, int]:
        return {name: round(1e9 * size) for name, size in self.other_volumes_gb.items()}
