"""Every setting of the operations: its type, unit, safe default and FT_* variable.

Nothing else reads the environment, but for AWS settings, which are boto3's own.
"""

from ft_ops.settings.base import GlacierClass, Region, Severity
from ft_ops.settings.constraints import accepted
from ft_ops.settings.deployed import Settings, load_settings
from ft_ops.settings.links import run_link, runbook_link

__all__ = [
    "GlacierClass",
    "Region",
    "Settings",
    "Severity",
    "accepted",
    "load_settings",
    "run_link",
    "runbook_link",
]
