"""Vacuums, freezes, analyses and rebuilds by evidence, within a window, in nobody's way."""

from ft_ops.maintenance.indexes.advice import IndexAdvice, index_advice
from ft_ops.maintenance.indexes.bloat import Accuracy, Estimate, accuracy, estimate_indexes
from ft_ops.maintenance.indexes.candidates import RebuildRules
from ft_ops.maintenance.indexes.gates import Gates
from ft_ops.maintenance.indexes.leftovers import InvalidIndex, invalid_indexes
from ft_ops.maintenance.indexes.rebuild import RebuildOutcome, Terms, rebuild_indexes
from ft_ops.maintenance.status import standings
from ft_ops.maintenance.tables.freeze import freeze_closed_partitions
from ft_ops.maintenance.tables.table_bloat import TableEstimate, estimate_tables
from ft_ops.maintenance.tables.vacuum import TableOutcome, vacuum_tables
from ft_ops.maintenance.tables.wraparound import Age, Wraparound, wraparound

__all__ = [
    "Accuracy",
    "Age",
    "Estimate",
    "Gates",
    "IndexAdvice",
    "InvalidIndex",
    "RebuildOutcome",
    "RebuildRules",
    "TableEstimate",
    "TableOutcome",
    "Terms",
    "Wraparound",
    "accuracy",
    "estimate_indexes",
    "estimate_tables",
    "freeze_closed_partitions",
    "index_advice",
    "invalid_indexes",
    "rebuild_indexes",
    "standings",
    "vacuum_tables",
    "wraparound",
]
