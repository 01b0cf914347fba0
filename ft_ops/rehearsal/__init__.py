"""The next major version, rehearsed on last night's copy.

`rehearsal.rehearse_upgrade` restores a backup, upgrades the copy within its own folder, and holds
it against what it was. `findings.verdict_of` decides whether it works.
"""

from ft_ops.rehearsal.certificate import Rehearsal, rehearsal_lines
from ft_ops.rehearsal.rehearsal import RehearsalRules, rehearse_upgrade

__all__ = ["Rehearsal", "RehearsalRules", "rehearsal_lines", "rehearse_upgrade"]
