"""One family, book, thread or user back from a copy of the database, or of a month of it.

`restore.restore_subject` compares the copy with the live database for exactly that subject and
inserts what is missing. `judge.Judge` decides what becomes of each row: missing, same, changed,
conflict, erased, archived, removed or blocked.
"""

from ft_ops.restore.lines import plan_lines, restored_lines
from ft_ops.restore.plan import RestorePlan
from ft_ops.restore.read.sides import Side
from ft_ops.restore.restore import restore_subject
from ft_ops.restore.source import choose, restore_from_archive, restore_from_backup
from ft_ops.restore.subject import Decisions, Subject, one_subject

__all__ = [
    "Decisions",
    "RestorePlan",
    "Side",
    "Subject",
    "choose",
    "one_subject",
    "plan_lines",
    "restore_from_archive",
    "restore_from_backup",
    "restore_subject",
    "restored_lines",
]
