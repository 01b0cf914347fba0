"""A way into a restored instance: it has the passwords of the day that its snapshot was taken."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import conninfo, sql

from ft_ops.backups.provider import Log
from ft_ops.backups.rds.instances import Patience, read_instance
from ft_ops.errors import OpsError
from ft_ops.pg.connect import connect
from ft_ops.s3.bucket import naming

if TYPE_CHECKING:
    from mypy_boto3_rds import RDSClient
    from mypy_boto3_rds.type_defs import DBInstanceTypeDef

_REFUSED: Final = re.compile(r"authentication failed|does not exist|no password supplied")
_PASSWORD_BYTES: Final = 24


def let_in(
    client: RDSClient, made: DBInstanceTypeDef, url: str, patience: Patience, log: Log
) -> str:
    """A URL that the temporary instance ``made`` lets in: ``url``, or one with new passwords.

    The master user of the copy is given a new password, and gives one to our role. An OpsError
    when that does not help: it says nothing about what was restored.
    """
    refusal = _refusal(url)
    if refusal is None:
        return url
    log(f"the copy refuses today's password ({refusal}): giving it a new one")
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    identifier = made["DBInstanceIdentifier"]
    master = made.get("MasterUsername")
    if master is None:
        raise _shut_out(identifier, refusal)
    with naming(f"RDS instance {identifier}"):
        client.modify_db_instance(
            DBInstanceIdentifier=identifier, MasterUserPassword=password, ApplyImmediately=True
        )
    role = str(conninfo.conninfo_to_dict(url).get("user") or master)
    master_url = conninfo.make_conninfo(url, user=master, password=password)
    _await_login(client, identifier, master_url, patience)
    if role == master:
        return master_url
    try:
        with connect(master_url, application="drill") as connection:
            # The server's log may quote it: the copy is gone within the hour, and its log with it.
            connection.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                    sql.Identifier(role), sql.Literal(password)
                )
            )
    except psycopg.Error as error:
        raise _shut_out(identifier, str(error).strip().splitlines()[0]) from None
    return conninfo.make_conninfo(url, password=password)


def _refusal(url: str) -> str | None:
    """Why a login is refused, None where it is not, or where something else is wrong."""
    try:
        psycopg.connect(url, connect_timeout=10).close()
    except psycopg.OperationalError as error:
        found = _REFUSED.search(str(error))
        return found[0] if found is not None else None
    return None


def _await_login(client: RDSClient, identifier: str, url: str, patience: Patience) -> None:
    """Wait until the new password is in force: the instance says so a while before it is."""

    def read() -> tuple[None, str]:
        status = read_instance(client, identifier).get("DBInstanceStatus", "")
        refusal = _refusal(url)
        return None, f"{status}, {refusal}" if refusal is not None else status

    patience.poll(f"new password of {identifier}", read, "available")


def _shut_out(identifier: str, why: str) -> OpsError:
    return OpsError(
        f"login to {identifier}",
        cause=f"it refuses the password of today, and there is no way to give it another: {why}",
        next_step="restore the snapshot by hand and log in with the password of its day; this says "
        "nothing about the snapshot",
    )
