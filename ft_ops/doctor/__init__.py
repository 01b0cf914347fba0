"""The doctor: what a deployment has, what it lacks, and how to mend that."""

from ft_ops.doctor.deployment import examine
from ft_ops.doctor.findings import Finding

__all__ = ["Finding", "examine"]
