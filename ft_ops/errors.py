"""The one error an operator sees: what failed, why, and what to do next."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import TimeoutExpired
from typing import Final

import psycopg
from botocore.exceptions import BotoCoreError, ClientError

# No scheme is longer, and of a long text without one each letter could begin it.
_PASSWORD_IN_URL = re.compile(
    r"(?P<head>[a-z][a-z0-9+.-]{0,40}://[^\s:/@]*):[^\s@]*@", re.IGNORECASE
)
_PASSWORD_IN_KEYWORDS = re.compile(
    r"(?P<key>(?:sslpassword|password|aws_secret_access_key|aws_session_token)\s*=\s*)"
    r"(?:'(?:[^'\\]|\\.)*'|[^\s&'\"]+)",
    re.IGNORECASE,
)


class OpsError(Exception):
    """Something that an operator has to act on.

    ``what`` names the thing that failed, ``cause`` says why, ``next_step`` what to do about it.
    All three are masked: a database URL may be quoted, its password never gets through.
    """

    def __init__(self, what: str, *, cause: str, next_step: str) -> None:
        self.what = mask_secrets(what)
        self.cause = mask_secrets(cause)
        self.next_step = mask_secrets(next_step)
        super().__init__(f"{self.what}: {self.cause}. Next: {self.next_step}")


class Refused(OpsError):
    """A gate said no. Nothing was changed, and trying again will not help by itself."""


EXPLAINED: Final = (psycopg.Error, ClientError, BotoCoreError, OSError, TimeoutExpired)
"""The errors that a person can cause: PostgreSQL's, those of S3, the operating system's, and that
a program took too long."""


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn every error that a person can cause into an OpsError about ``what``.

    Those of `EXPLAINED`; an OpsError goes through as it is.
    """
    try:
        yield
    except EXPLAINED as error:
        raise explanation(what, error) from error


def explanation(what: str, error: Exception) -> OpsError:
    """The OpsError about ``what`` for an error of one of those kinds."""
    cause, next_step = _in_words(error)
    return OpsError(what, cause=cause, next_step=next_step)


_MIGRATE: Final = (
    "apply the migrations (ft-ops migrate run); if none is pending, see whether somebody dropped "
    "it (ft-ops migrate drift)"
)

_USED_UP: Final = (
    "see the limit that it names, such as temp_file_limit of this role, and the memory of the "
    "server; then run again"
)

_SAID: Final[tuple[tuple[type[Exception], str, str], ...]] = (
    (
        psycopg.errors.LockNotAvailable,
        "it is locked by another session: {}",
        "find the blocker with pg_blocking_pids(), then run again",
    ),
    *(
        (
            kind,
            "it is not there: {}",
            _MIGRATE,
        )
        for kind in (
            psycopg.errors.UndefinedTable,
            psycopg.errors.UndefinedColumn,
            psycopg.errors.UndefinedFunction,
            psycopg.errors.UndefinedObject,
            psycopg.errors.InvalidSchemaName,
        )
    ),
    (
        psycopg.errors.ReadOnlySqlTransaction,
        "the server takes no writes: {}",
        "let FT_DATABASE_URL name the primary, and see default_transaction_read_only",
    ),
    (
        psycopg.errors.IdleInTransactionSessionTimeout,
        "the server ended the session because it waited in a transaction: {}",
        "see what the run waited for in its log, then run again",
    ),
    (
        psycopg.errors.DeadlockDetected,
        "it waited for a session that waited for it: {}",
        "run again: what was begun is finished by the next run",
    ),
    (
        psycopg.errors.RestrictViolation,
        "the database lets nobody change it: {}",
        "what a legal hold is on stays until that is released (ft-ops hold list); then run again",
    ),
    (
        psycopg.errors.DiskFull,
        "the server has no room left: {}",
        "make room on its volume, then run again",
    ),
    (
        psycopg.errors.TooManyConnections,
        "the server has no connection left: {}",
        "see who holds them in pg_stat_activity, then run again",
    ),
    (
        psycopg.errors.InsufficientPrivilege,
        "this role may not: {}",
        "let FT_DATABASE_URL name the operations role; `ft-ops doctor` names missing grants",
    ),
    (
        psycopg.errors.QueryCanceled,
        "the statement was ended: {}",
        "see which statement_timeout applies, or who cancelled it, then run again",
    ),
    *(
        (kind, "the server, or what this role may use of it, is used up: {}", _USED_UP)
        for kind in (
            psycopg.errors.OutOfMemory,
            psycopg.errors.ConfigurationLimitExceeded,
            psycopg.errors.InsufficientResources,
        )
    ),
    *(
        (
            kind,
            "the server can't use its own files: {}",
            "see the server's log and its disks before anything else is run",
        )
        for kind in (psycopg.errors.IoError, psycopg.errors.UndefinedFile)
    ),
    # Of the server's other refusals, which psycopg calls operational too, the connection outlives.
    *(
        (kind, "{}", "see the cause and the server's log, then run again")
        for kind in (
            psycopg.errors.SerializationFailure,
            psycopg.errors.ObjectInUse,
            psycopg.errors.ObjectNotInPrerequisiteState,
            psycopg.errors.ProgramLimitExceeded,
            psycopg.errors.StatementTooComplex,
        )
    ),
    (
        psycopg.OperationalError,
        "the connection failed: {}",
        "see the server's log; what was begun is finished by the next run",
    ),
    (psycopg.Error, "{}", "see the server's log, then run again"),
    (ClientError, "{}", "check the endpoint, the network and the rights, then run again"),
    (BotoCoreError, "{}", "check the endpoint, the network and the rights, then run again"),
    (OSError, "{}", "see the cause, then run again"),
    (
        TimeoutExpired,
        "a program did not end: {}",
        "see what it waits for (a disk, the network), then run again",
    ),
)
"""What is said of an error, and what to do about it: the first kind that it is an instance of."""


def _in_words(error: Exception) -> tuple[str, str]:
    cause, next_step = next(
        (cause, next_step) for kind, cause, next_step in _SAID if isinstance(error, kind)
    )
    return cause.format(_first_line(error)), next_step


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def quotes_rows(error: BaseException) -> bool:
    """Whether a server quotes a row behind its first line, because one breaks a rule.

    What it says of locks, rights or disks names no content, and is needed whole.
    """
    return isinstance(error, (psycopg.IntegrityError, psycopg.DataError))


def without_rows(error: psycopg.Error) -> str:
    """What a server said of an error, but for the row that it quotes where one breaks a rule."""
    return _first_line(error) if quotes_rows(error) else str(error).strip()


def mask_secrets(text: str) -> str:
    """Replace passwords in URLs and in libpq keyword strings by ``***``."""
    masked = _PASSWORD_IN_URL.sub(r"\g<head>:***@", text)
    return _PASSWORD_IN_KEYWORDS.sub(r"\g<key>***", masked)
