"""One family, book, thread or user back from a copy of the database.

`restore.restore_subject` compares the copy with the live database for exactly that subject and
inserts what is missing. `judge.Judge` decides what becomes of each row: missing, same, changed,
conflict, erased, archived or blocked.
"""

from ft_ops.restore.plan import Plan
from ft_ops.restore.restore import restore_subject
from ft_ops.restore.sides import Side
from ft_ops.restore.subject import Decisions, Subject

__all__ = ["Decisions", "Plan", "Side", "Subject", "restore_subject"]
