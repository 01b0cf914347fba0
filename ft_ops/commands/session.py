"""What the commands share: who runs them, and their way to the database and the backups."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ft_ops.errors import explained
from ft_ops.pg.connect import Connection, describe, primary
from ft_ops.settings import load_settings

if TYPE_CHECKING:
    from ft_ops.backups import Workplace


def person() -> str:
    """Who runs this command, for the record."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that has no name
        name = f"uid {os.getuid()}"
    return f"{name}@{socket.gethostname()}"


@contextmanager
def workplace() -> Iterator[Workplace]:
    """The backups of this deployment, with the database, for a block."""
    from ft_ops.backups import open_workplace

    with database("backup") as connection:
        yield open_workplace(load_settings(), connection)


@contextmanager
def database(application: str) -> Iterator[Connection]:
    """A connection to the application's database for a block; its errors name that database."""
    url = load_settings().require_database_url()
    with (
        explained(f"database {describe(url)}"),
        primary(url, application=application) as connection,
    ):
        yield connection
