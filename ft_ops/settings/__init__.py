"""Every knob of the operations: its type, unit, safe default and FT_* variable.

Nothing else reads the environment, but for AWS settings, which are boto3's own.
"""

from ft_ops.settings.base import GlacierClass
from ft_ops.settings.constraints import accepted
from ft_ops.settings.deployed import Policy, load_policy
from ft_ops.settings.links import run_link, runbook_link

__all__ = ["GlacierClass", "Policy", "accepted", "load_policy", "run_link", "runbook_link"]
