"""What the catalog says of every object that migrations make, in a form that can be compared.

`sql/schema/fingerprint.json` is what the project's migrations produce; it is made from a database
to which they were applied, by ``make fingerprint``, and a test keeps it so.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

import psycopg

from ft_ops.errors import OpsError
from ft_ops.pg.catalog import locked_relations
from ft_ops.pg.connect import Connection
from ft_ops.pg.locks import lock_timeout
from ft_ops.pg.sqlfiles import sql_root, statement

Fingerprint: TypeAlias = Mapping[str, Mapping[str, str]]
"""Object ("column users.email") → aspect ("type") → value ("character varying(255)")."""

UNREAD: Final = "(not read, because a table that it asks is locked)"
"""Stands for a text that could not be read without waiting."""

_TRIES: Final = 3
_TRIES_BESIDE_DROPS: Final = 30
_WAIT_MS: Final = 200
_STRING: Final = r"'(?:[^']|'')*'::character varying"
_CAST_STRING: Final = rf"\(({_STRING})\)::text"
_LIST_OF_CASTS: Final = re.compile(rf"ARRAY\[({_CAST_STRING}(?:, {_CAST_STRING})*)\]")


def read_fingerprint(connection: Connection) -> Fingerprint:
    """The fingerprint of a live database. Reads the catalog in one statement.

    Views and policies that ask a table which somebody has locked have UNREAD for their texts; an
    error when tables are locked again and again between the look at the locks and the reading, or
    dropped while the catalog is read.
    """
    locked = dropped = 0
    while True:
        try:
            return _read(connection)
        except psycopg.errors.LockNotAvailable:
            locked += 1
            if locked == _TRIES:
                raise
        except psycopg.errors.InternalError_:
            # "could not open relation", "cache lookup failed": it was there a moment ago.
            dropped += 1
            if dropped == _TRIES_BESIDE_DROPS:
                raise


@cache
def fingerprint_version() -> str:
    """Tells fingerprints that may be compared from those that another version of ft-ops has read.

    Each asks the catalog in its own way: 16 hexadecimal digits of the statement's SHA-256.
    """
    return hashlib.sha256(statement("schema/fingerprint").as_string().encode()).hexdigest()[:16]


def _read(connection: Connection) -> Fingerprint:
    with lock_timeout(connection, _WAIT_MS), connection.transaction():
        # With nothing else on the path, definitions name every object with its schema.
        connection.execute("SET LOCAL search_path = pg_catalog")
        locked = list(locked_relations(connection))
        rows = connection.execute(
            statement("schema/fingerprint"), {"locked": locked, "unread": UNREAD}
        ).fetchall()
    found: dict[str, dict[str, str]] = {}
    for name, aspect, value in rows:
        # What was dropped while the catalog was read has no text any more.
        if value is not None:
            found.setdefault(name, {})[aspect] = _as_written(value)
    return found


def read_whole_fingerprint(connection: Connection) -> Fingerprint:
    """The fingerprint of a live database, or an OpsError where a part of it could not be read."""
    found = read_fingerprint(connection)
    unread = sorted(name for name, aspects in found.items() if UNREAD in aspects.values())
    if unread:
        raise OpsError(
            f"definition of {', '.join(unread)}",
            cause="a table that it asks is locked by another session",
            next_step="find the blocker with pg_blocking_pids(), then run again",
        )
    return found


def expected_fingerprint() -> Fingerprint:
    """The fingerprint that the migrations of this version of the project produce."""
    path = _path()
    try:
        content: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OpsError(
            f"fingerprint {path.name}",
            cause=str(error),
            next_step="install the project anew, or make the file again: make fingerprint",
        ) from error
    return content


def fingerprint_json(fingerprint: Fingerprint) -> str:
    """A text form that reads well in a diff: sorted, an object a line."""
    lines = (
        f" {json.dumps(name)}: {json.dumps(fingerprint[name], sort_keys=True)}"
        for name in sorted(fingerprint)
    )
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _as_written(definition: str) -> str:
    """A definition as it read before it was dumped and restored.

    ``x IN ('a', 'b')`` over a varchar is shown with one cast of the whole list, and once that text
    was parsed again, with a cast of each member. The two mean the same.
    """
    return _LIST_OF_CASTS.sub(
        lambda found: "(ARRAY[" + re.sub(_CAST_STRING, r"\1", found[1]) + "])::text[]", definition
    )


def _path() -> Path:
    return sql_root() / "schema" / "fingerprint.json"
