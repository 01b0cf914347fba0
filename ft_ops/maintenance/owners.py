"""What lets these operations maintain a table that belongs to somebody else."""

from __future__ import annotations

from ft_ops.pg.sqlfiles import quoted

_OPERATIONS = "<the operations role>"


def way_in(schema: str, table: str, owner: str, *, is_superusers: bool) -> str:
    """What an administrator runs for that.

    A superuser's role is granted to nobody: whoever is a member of it is a superuser, too.
    """
    if is_superusers:
        opened = (
            ""
            if schema == "public"
            else f"; GRANT USAGE ON SCHEMA {quoted(schema)} TO {_OPERATIONS}"
        )
        return f"ALTER TABLE {quoted(schema, table)} OWNER TO {_OPERATIONS}{opened}"
    return f"GRANT {quoted(owner)} TO {_OPERATIONS}"
