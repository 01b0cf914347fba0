"""Monthly partitions of content_segments and audit_log, ahead of time and without gaps."""

from ft_ops.partitions.create import PARENTS, partition_name
from ft_ops.partitions.ensure import PartitionOutcome, ensure_months, work_on_months
from ft_ops.partitions.grants import kept_to_owner
from ft_ops.partitions.month_coverage import Coverage, PartitionFault, coverage, wanted_months
from ft_ops.partitions.status import standings

__all__ = [
    "PARENTS",
    "Coverage",
    "PartitionFault",
    "PartitionOutcome",
    "coverage",
    "ensure_months",
    "kept_to_owner",
    "partition_name",
    "standings",
    "wanted_months",
    "work_on_months",
]
