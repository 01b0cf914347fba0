"""Memberships and invitations: who may see a family is what it is today, not what a copy says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from psycopg import sql

from ft_ops.pg.connect import Connection
from ft_ops.restore.read.graph import FAMILIES, USERS
from ft_ops.restore.read.rows import Copied
from ft_ops.restore.verdict.keep_out import keep_out

_LED_BY: Final[Mapping[str, Mapping[str, str]]] = {
    "public.family_members": {"family_id": FAMILIES, "user_id": USERS},
    "public.family_invites": {"family_id": FAMILIES},
}
"""What lets somebody into a family, and what it went with if that was deleted: by its columns."""


def keep_out_removed(connection: Connection, copied: Copied) -> None:
    """Keep out what was taken away while its family and its user stayed, and what was changed.

    Nobody can tell a mistake from somebody who was shut out, so that counts. What went with its
    family or its user comes back with them.
    """
    parents = _LED_BY.get(copied.table.name)
    if parents is None:
        return
    stayed = sql.SQL(" AND ").join(
        sql.SQL("EXISTS (SELECT FROM {} AS p WHERE p.id = c.{})").format(
            sql.Identifier(*parent.split(".")), sql.Identifier(column)
        )
        for column, parent in parents.items()
    )
    keep_out(
        connection,
        copied,
        "removed",
        "it was taken away since, and its family was not",
        sql.SQL("c.ft_state = 'missing' AND {}").format(stayed),
    )
    keep_out(
        connection,
        copied,
        "changed",
        "who may see the family stays as it is today",
        sql.SQL("c.ft_state = 'changed'"),
    )
