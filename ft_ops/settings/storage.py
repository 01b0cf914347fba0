"""How storage is counted and published."""

from __future__ import annotations

from pydantic import Field

from ft_ops.settings.base import RoomSettings


class StorageSettings(RoomSettings):
    """The storage's settings."""

    storage_readers: int = Field(
        default=2,
        ge=1,
        le=16,
        description="Sessions that count storage side by side, with 64 to 128 MB of memory each.",
    )
    storage_batch_rows: int = Field(
        default=500,
        ge=1,
        le=10_000,
        description="Families or users whose storage_used_bytes one transaction sets.",
    )
    storage_lock_wait_ms: int = Field(
        default=100,
        ge=1,
        le=60_000,
        description="How long such a transaction waits for a table lock before it tries again.",
    )
    storage_warn_percent: int = Field(
        default=80,
        ge=1,
        le=100,
        description="Percent of its storage_limit_bytes above which a family is named in a check.",
    )
    storage_full_days: int = Field(
        default=8,
        ge=1,
        le=3_650,
        description="Days after which a full recomputation of storage is called overdue.",
    )
    media_inventory: str | None = Field(
        default=None,
        pattern=r"^s3://[^/]+/.*$",
        examples=["s3://bucket/prefix/"],
        description="Where real sizes of recordings and photos come from: the folder of an S3 "
        "Inventory (s3://bucket/prefix/source-bucket/configuration/), or else a prefix of the "
        "media bucket to list. Unset: the estimates of 1,048,576 and 524,288 bytes.",
    )
