"""Every knob of the operations: its type, unit, safe default and FT_* variable.

Nothing else reads the environment, but for AWS settings, which are boto3's own.
"""

from ft_ops.policy.accepted import accepted
from ft_ops.policy.knobs import GlacierClass
from ft_ops.policy.policy import Policy, load_policy

__all__ = ["GlacierClass", "Policy", "accepted", "load_policy"]
