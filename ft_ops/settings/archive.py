"""When months leave the database, where they go, and how they come back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from ft_ops.errors import OpsError
from ft_ops.settings.base import GlacierClass, RoomSettings, bucket, folder, paths, region


class ArchiveSettings(RoomSettings):
    """The archive's settings."""

    archive_bucket: Annotated[str, AfterValidator(bucket)] | None = Field(
        default=None, description="The versioned bucket of the archive."
    )
    archive_prefix: Annotated[str, AfterValidator(folder)] = Field(
        default="archive",
        examples=["archive"],
        description="The archive's folder in its bucket, without slashes at its ends.",
    )
    archive_replica_bucket: Annotated[str, AfterValidator(bucket)] | None = Field(
        default=None,
        description="The versioned bucket of the archive's second copy, in another region or "
        "account. Unset: there is none.",
    )
    archive_replica_region: Annotated[str, AfterValidator(region)] | None = Field(
        default=None,
        examples=["eu-west-1"],
        description="The region of the second copy's bucket; unset: the archive's own.",
    )
    archive_replica_lag_hours: int = Field(
        default=24,
        ge=1,
        le=8_760,
        description="How long something may lie in the archive's bucket alone before a check says "
        "that its second copy is missing.",
    )
    archive_storage_class: GlacierClass = Field(
        default="DEEP_ARCHIVE", description="Where a month's objects go once it is proven."
    )
    retention_years: int = Field(
        default=7,
        ge=1,
        le=100,
        description="A month is due for the archive this many years after its end.",
    )
    audit_retention_years: int = Field(
        default=7,
        ge=1,
        le=100,
        description="The same for a month of the audit log.",
    )
    archive_part_bytes: int = Field(
        default=256 << 20,
        ge=1 << 20,
        le=4 << 30,
        description="Compressed bytes after which an export begins the next object; one copy "
        "request moves at most 5 GB.",
    )
    archive_share_beside_others: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="How much of the time an archive works while other sessions than the "
        "operations' are at work in the database, one step at a time; the rest of the time it "
        "pauses. 1 never pauses.",
    )
    archive_lock_mode: Literal["GOVERNANCE", "COMPLIANCE"] | None = Field(
        default=None,
        description="The Object Lock that frozen versions get. COMPLIANCE can't be lifted by "
        "anyone before its end, not even for an erasure.",
    )
    archive_lock_days: int = Field(
        default=365, ge=1, le=36_500, description="Days from the proof that an Object Lock lasts."
    )
    archive_drill_dollars: float = Field(
        default=5.0,
        ge=0,
        le=1_000_000,
        description="What the retrieval of one month by the archive's drill may cost at most, by "
        "the estimate.",
    )
    archive_oldest_proof_days: int = Field(
        default=3650,
        ge=1,
        le=36_500,
        description="How old the newest proof of a purged month may be before a check fails. A "
        "drill a month proves twelve months a year.",
    )
    archive_check_requests: int = Field(
        default=20_000,
        ge=1,
        le=100_000_000,
        description="Requests by which the daily look asks for single objects, for their checksum "
        "and key; where there are more objects, it takes turns, but asks for three of each "
        "generation (certificate, manifest, a part) each day. All of them are listed each day.",
    )
    archive_prices_file: Path | None = Field(
        default=None, description="A price list of your own for thaws, as JSON."
    )
    evidence_key_file: Path | None = Field(
        default=None,
        description="The private Ed25519 key in PEM that signs the chain of evidence. Unset: no "
        "chain is written.",
    )
    evidence_kms_key: str | None = Field(
        default=None,
        description="A key of AWS KMS (id, ARN or alias; ECC_NIST_P256) that signs the chain of "
        "evidence instead of a key file.",
    )
    evidence_former_keys: Annotated[tuple[Path, ...], BeforeValidator(paths)] = Field(
        default=(),
        description="Public keys in PEM that signed the chain before, oldest first, comma "
        "separated.",
    )
    evidence_prefix: Annotated[str, AfterValidator(folder)] = Field(
        default="evidence",
        examples=["evidence"],
        description="The folder of the chain of evidence in the archive bucket, without slashes at "
        "its ends.",
    )
    thaw_days: int = Field(
        default=14, ge=1, le=3_650, description="Days that a thawed month stays in the database."
    )
    longest_snapshot_seconds: int = Field(
        default=300,
        ge=1,
        le=604_800,
        description="A transaction open for longer is named as a blocker before a detach.",
    )
    purge_enabled: bool = Field(
        default=False, description="Whether proven months may be removed from the database at all."
    )
    purge_grace_days: int = Field(
        default=30, ge=0, le=36_500, description="Days between a month's proof and its purge."
    )
    purge_share_beside_others: float = Field(
        default=0.35,
        gt=0,
        le=1,
        description="The same for a purge and the removal of a thawed month, whose steps are "
        "shorter, and which pause besides when the application suffers.",
    )
    purge_pause_latency_ms: float = Field(
        default=20.0,
        gt=0,
        le=60_000,
        description="A purge pauses while a small query of the application's kind takes longer, "
        "or five times longer than it did at the start, whichever is more.",
    )
    purge_pause_replication_lag_seconds: float = Field(
        default=10.0,
        gt=0,
        le=604_800,
        description="A purge pauses while a replica lags further behind.",
    )
    purge_longest_pause_seconds: float = Field(
        default=900.0,
        ge=0,
        le=604_800,
        description="Pauses of one purge, added up, before it gives up.",
    )

    def require_archive_bucket(self) -> str:
        """The archive's bucket, or an OpsError that says how to name one."""
        if self.archive_bucket is None:
            raise OpsError(
                "FT_ARCHIVE_BUCKET",
                cause="it is not set",
                next_step="set it to a versioned bucket, best with Object Lock enabled",
            )
        return self.archive_bucket
