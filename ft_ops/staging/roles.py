"""Takes roles and tablespaces out of what a dump names: owners, grantees and policies.

pg_dump writes owners and tablespaces into an archive whatever it is told; --no-owner is read by
pg_restore alone. And no other server knows roles of your own: what is granted to them could not be
restored there. So they lose all of it in the copy, and their names, the superuser's too.
"""

from __future__ import annotations

import hashlib
from secrets import token_hex
from typing import Final

from psycopg import conninfo, sql

from ft_ops.pg.connect import Connection, connected
from ft_ops.pg.server import Server
from ft_ops.pg.sqlfiles import statement

_KNOWN_ROLES: Final = ("ft_ops", "ft_app", "ft_readonly")
_SUPERUSER: Final = "postgres"
_DIGITS: Final = 12


def forget_roles(connection: Connection, key: bytes) -> None:
    """Every role but the operations' own and the superuser, and every tablespace.

    What such a role owns becomes the superuser's. Its grants and policies go, and what still names
    it afterwards has another name for it.
    """
    names = connection.execute(statement("staging/other_roles"), {"known": list(_KNOWN_ROLES)})
    for kind, name in names.fetchall():
        called = sql.Identifier(name)
        if kind == "ROLE":
            connection.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(called))
            connection.execute(sql.SQL("DROP OWNED BY {}").format(called))
        digest = hashlib.sha256(key + name.encode()).hexdigest()[:_DIGITS]
        connection.execute(
            sql.SQL("ALTER {} {} RENAME TO {}").format(
                sql.SQL(kind), called, sql.Identifier(f"{kind.lower()}_{digest}")
            )
        )


def rename_superuser(server: Server, admin_url: str) -> str:
    """Call the superuser as PostgreSQL does by default; returns the URL by which to enter then.

    Other roles are renamed before: one of them may have that name. A session can't rename its own
    user, so another superuser is made for it, and dropped.
    """
    parts = conninfo.conninfo_to_dict(admin_url)
    database, name = str(parts["dbname"]), str(parts["user"])
    if name in {_SUPERUSER, *_KNOWN_ROLES}:
        return admin_url
    helper = sql.Identifier(helper_name := f"masking_{token_hex(8)}")
    with connected(admin_url, application="staging") as connection:
        connection.execute(sql.SQL("CREATE ROLE {} SUPERUSER LOGIN").format(helper))
    with connected(server.url(database, user=helper_name), application="staging") as connection:
        connection.execute(
            sql.SQL("ALTER ROLE {} RENAME TO {}").format(
                sql.Identifier(name), sql.Identifier(_SUPERUSER)
            )
        )
    renamed = server.url(database, user=_SUPERUSER)
    with connected(renamed, application="staging") as connection:
        connection.execute(sql.SQL("DROP ROLE {}").format(helper))
    return renamed
