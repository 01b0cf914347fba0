"""Vacuums, freezes, analyses and rebuilds what needs it, within a window, and disturbs nobody."""

from ft_ops.maintenance.gates import Gates
from ft_ops.maintenance.indexes.bloat import Estimate, estimate_indexes
from ft_ops.maintenance.indexes.candidates import RebuildRules
from ft_ops.maintenance.indexes.rebuild import Terms, rebuild_indexes
from ft_ops.maintenance.status import standings
from ft_ops.maintenance.tables.table_bloat import TableEstimate, estimate_tables

__all__ = [
    "Estimate",
    "Gates",
    "RebuildRules",
    "TableEstimate",
    "Terms",
    "estimate_indexes",
    "estimate_tables",
    "rebuild_indexes",
    "standings",
]
