"""Heads of the chain, noted in the database: what a chain that was cut back can't know of.

Whoever can write to the bucket and sign can take the newest links away and write the head anew:
then the chain alone is whole. A run notes its head in the audit log, where another key is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from ft_ops.evidence.verify import Head
from ft_ops.pg.audit import SYSTEM_USER, write_audit
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

_REMEMBERED: Final = timedelta(days=400)

ACTION: Final = "evidence.head"
"""No act: it is not chained, or each run would have something to chain."""


def noted_heads(connection: Connection, chain: str, now: datetime) -> list[Head]:
    """The heads of the chain at that address that were noted in the last 400 days, newest first."""
    rows = connection.execute(
        statement("evidence/noted_heads"),
        {"system_user": SYSTEM_USER, "since": now - _REMEMBERED, "chain": chain},
    )
    return [Head(number, sha256) for number, sha256 in rows]


def note_head(connection: Connection, chain: str, head: Head, known: Sequence[Head]) -> None:
    """Note a head, unless it is noted."""
    if head not in known:
        write_audit(
            connection,
            ACTION,
            "audit_log",
            {"chain": chain, "number": head.number, "sha256": head.sha256},
        )
