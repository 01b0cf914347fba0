"""Monthly partitions of content_segments and audit_log, ahead of time and without gaps."""

from ft_ops.partitions.coverage import Coverage, coverage, wanted_months
from ft_ops.partitions.create import PARENTS, PartitionOutcome, ensure_months, partition_name

__all__ = [
    "PARENTS",
    "Coverage",
    "PartitionOutcome",
    "coverage",
    "ensure_months",
    "partition_name",
    "wanted_months",
]
