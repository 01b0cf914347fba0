"""What a copy's server says of why it failed: the data's fault, or its machine's.

Only what is known to come of a log, or of files, that are not what was written counts against a
backup. Everything else says nothing about it.
"""

from __future__ import annotations

import re
import shutil

from ft_ops.backups.points.points import RestorePoint
from ft_ops.backups.provider import ContentError
from ft_ops.errors import OpsError
from ft_ops.pg import server as pg
from ft_ops.pg.server import Server

_MISSING = re.compile(r'(role|database) "([^"]+)" does not exist')
# Refusals of a login that waiting does not change.
_REFUSES = re.compile(
    r"is not permitted to log in|is not currently accepting connections|permission denied for"
    r"|too many connections for (?:role|database)|locale is incompatible"
    r"|invalid value for parameter"
)
_NO_LIBRARY = 'could not access file "'
_FATAL = re.compile(r"^(?:FATAL|PANIC):\s+(.*)$", re.MULTILINE)
_BAD_RECORD = re.compile(r"^LOG:\s+(.* at [0-9A-F]+/[0-9A-F]+.*)$", re.MULTILINE)
_FETCHED = re.compile(r'restored log file "([0-9A-F]{24})" from archive')

# What recovery says of a log, or of files, that are not what was written.
_OF_THE_CONTENT = re.compile(
    r"recovery ended before configured recovery target was reached"
    r"|WAL ends before (?:end of online backup|consistent recovery point)"
    r"|WAL contains references to invalid pages"
    r"|could not locate (?:a valid checkpoint record|required checkpoint record)"
    r"|invalid (?:checkpoint|primary checkpoint) record"
    r"|incorrect (?:checksum|resource manager data checksum)|invalid data in file"
    r"|unexpected timeline ID|requested timeline \d+ "
    r"|could not (?:open|read) file \"(?:global|base|pg_[a-z]+|backup_label)[^\"]*\": "
    r"(?:No such file|read \d+ of)"
    r"|invalid page in block|could not read block \d+"
)
# What befalls a server for reasons of its machine.
_SAYS_NOTHING = re.compile(
    r"No space left on device|Disk quota exceeded|Input/output error|Cannot allocate memory"
    r"|out of memory|was terminated by signal (?:9|15)\b|could not access file \""
    r"|Permission denied|Read-only file system|Too many open files"
)
# With less, a server can't even log that its disk is full.
_SPARE_BYTES = 1 << 20
_CRASH = re.compile(
    r"^PANIC:  .*|^LOG:  .*was terminated by signal (?:4|6|7|8|11)\b.*", re.MULTILINE
)


def missing_from_copy(said: str, point: RestorePoint) -> str | None:
    """The role or database that a login did not find and that was there at the point, in words.

    Only where nobody is refused: on a server of our own, everybody is let in. A role that was made
    after the point is missing in every copy of it.
    """
    found = _MISSING.search(said)
    if found is None:
        return None
    kind, name = found[1], found[2]
    was_there = name == point.database if kind == "database" else name in point.roles
    return found[0] if was_there else None


def refuse_what_stays_so(said: str, point: RestorePoint) -> None:
    """Waiting does not help where the login itself is what fails."""
    if (missing := missing_from_copy(said, point)) is not None:
        raise ContentError(
            "restored copy",
            cause=missing,
            next_step="the copy lacks what every session needs: try an older backup",
        )
    if _MISSING.search(said) is not None or _REFUSES.search(said) is not None:
        raise OpsError(
            "restored copy",
            cause=f"{said.strip()}: nobody knows that it could at the point {point.name}",
            next_step="let FT_DATABASE_URL name a role that could log in then, or drill a later "
            "backup: this says nothing about this one",
        )
    if _NO_LIBRARY in said:
        raise OpsError(
            "restored copy",
            cause=said.strip(),
            next_step="install PostgreSQL with that library where drills run, and name it by "
            "FT_PG_BIN_DIR",
        )


def failed_recovery(server: Server, point: RestorePoint, cause: str) -> OpsError:
    """What kept the copy from its point: a ContentError only where the log or the files did."""
    log = pg.server_log(server, lines=10_000)
    records = _BAD_RECORD.findall(log)
    said = [*records[-1:], *_FATAL.findall(log)]
    fetched = _FETCHED.findall(log)
    where = f"; the last segment it used is {fetched[-1]}" if fetched else ""
    what = f"recovery to {point.name}"
    told = ("; ".join(said) or cause) + where
    befell = _befell(server, log)
    if befell is None and any(_OF_THE_CONTENT.search(line) for line in said):
        return ContentError(
            what,
            cause=told,
            next_step="look at the log from that segment on: an older version of its object may "
            "be whole; take a full backup now",
            wal=fetched[-1] if fetched else None,
        )
    # What befell the machine comes first: all the rest may only follow from it.
    return OpsError(
        what,
        cause=told if befell is None or befell in told else f"{befell}; {told}",
        next_step="correct what it names on the drill's machine, then drill it again: this says "
        "nothing about the backup",
    )


def what_befell(server: Server) -> str | None:
    """What its machine did to a server: by its log, or by a disk on which it can log no more."""
    return _befell(server, pg.server_log(server, lines=10_000))


def _befell(server: Server, log: str) -> str | None:
    for line in log.splitlines():
        if _SAYS_NOTHING.search(line) is not None:
            return line
    if (
        server.data_dir.is_dir()
        and (free := shutil.disk_usage(server.data_dir).free) < _SPARE_BYTES
    ):
        return f"No space left on device: {free:,} bytes are free where {server.data_dir} lies"
    return None


def crash(server: Server) -> str | None:
    """The end of a server that its data brought down, as its log tells it."""
    log = pg.server_log(server, lines=10_000)
    if _befell(server, log) is not None:
        return None
    found = _CRASH.search(log)
    return found[0] if found is not None else None
