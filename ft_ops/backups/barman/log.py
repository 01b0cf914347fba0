"""Whether the archived log is whole and recent, by what the bucket lists.

The server's own account is not enough: pg_stat_archiver counts no failure when archive_command
can't be executed at all, and a command that does nothing "archives" everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from psycopg.rows import class_row

from ft_ops.backups.barman.archived_wal import ArchivedWal, ListedLog
from ft_ops.backups.barman.spool import spooled
from ft_ops.backups.barman.wal import Segment, is_read_by_recovery, lsn_number, spans
from ft_ops.backups.provider import LogState
from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class _Archiver:
    lsn: str
    wal: str
    is_archiving: bool
    last_archived_wal: str | None
    last_archived_time: datetime | None
    last_failed_wal: str | None
    last_failed_time: datetime | None
    now: datetime


def log_state(
    connection: Connection, listed: ListedLog, first: Segment | None, spool: Path | None
) -> LogState:
    """Hold the server's log against the archive, from ``first`` on, the oldest backup's start."""
    archived, segment_bytes = listed.archived, listed.segment_bytes
    with connection.cursor(row_factory=class_row(_Archiver)) as cursor:
        server = one_row(cursor.execute(statement("backups/archiver_state")))
    waiting = spooled(spool) if spool is not None else []
    number, open_bytes = divmod(lsn_number(server.lsn), segment_bytes)
    timeline = Segment.parse(server.wal, segment_bytes).timeline
    complete = Segment(number - 1, timeline, segment_bytes)
    names = archived.segments
    newest = listed.newest
    behind = complete.number - newest.number if newest is not None else complete.number
    is_whole = behind <= 0 and open_bytes == 0
    restorable_to = _restorable_to(server, archived, waiting, is_whole=is_whole)
    lag = (server.now - restorable_to).total_seconds() if restorable_to is not None else None
    problems = [
        *_server_problems(server, archived, [path.name for path in waiting]),
        *_gaps(listed, first, newest, complete),
    ]
    return LogState(
        restorable_to=restorable_to,
        lag_seconds=max(lag, 0.0) if lag is not None else float("inf"),
        problems=tuple(problems),
        details={
            "written to": server.lsn,
            "segments in the bucket": str(len(names)),
            "newest in the bucket": newest.name if newest is not None else "(none)",
            "complete segments not in the bucket": str(max(behind, 0)),
            "waiting in the spool": str(len(waiting)),
            "holes that were accepted": str(len(listed.accepted)),
            "timelines": "; ".join(
                f"{used}: {span[0].name} to {span[1].name}"
                for used, span in spans(names, segment_bytes).items()
            ),
        },
    )


def _restorable_to(
    server: _Archiver, archived: ArchivedWal, waiting: Sequence[Path], *, is_whole: bool
) -> datetime | None:
    # Handed over by the server, and there: the earlier of the two is certain.
    handed_over = [server.last_archived_time, archived.newest_arrival]
    moments = [server.now] if is_whole else handed_over
    known = [moment for moment in moments if moment is not None]
    if len(known) < len(moments):
        return None
    # Nor does what was shipped past a file that stays in the spool count.
    for path in waiting:
        with suppress(FileNotFoundError):  # it is being shipped
            if is_read_by_recovery(path.name):
                known.append(datetime.fromtimestamp(path.stat().st_mtime, UTC))
    return min(known)


def _server_problems(server: _Archiver, archived: ArchivedWal, waiting: list[str]) -> Iterator[str]:
    if not server.is_archiving:
        yield "archive_mode is off: the server archives nothing"
    called_archived = server.last_archived_wal
    if called_archived is not None and called_archived not in {*archived.files, *waiting}:
        yield (
            f"the server calls {called_archived} archived, and the bucket does not hold it: "
            "archive_command reports success without doing its work"
        )
    failed_at = server.last_failed_time
    if failed_at is not None and (
        server.last_archived_time is None or failed_at > server.last_archived_time
    ):
        yield f"archive_command fails for {server.last_failed_wal} since {failed_at:%F %T}Z"


def _gaps(
    listed: ListedLog, first: Segment | None, newest: Segment | None, complete: Segment
) -> Iterator[str]:
    archived = listed.archived
    if archived.strangers:
        yield f"files that are no WAL in its folder: {', '.join(archived.strangers[:5])}"
    missing_histories = archived.timelines_without_history
    for timeline in missing_histories:
        yield f"timeline {timeline} has segments, and {timeline:08X}.history is missing"
    longest = archived.newest(complete.size)
    if longest is not None and longest.number > complete.number:
        yield (
            f"the bucket holds {longest.name}, which this server has not written yet: another "
            "cluster archives into it, or this one was restored to an earlier point"
        )
    if first is None:
        return
    if newest is None:
        yield f"the bucket holds no WAL at all; the oldest backup needs it from {first.name} on"
    elif newest.timeline not in missing_histories:
        try:
            missing = listed.missing(first, newest)
        except OpsError as error:
            yield error.cause
            return
        for hole in missing:
            yield (
                f"WAL is missing: {hole}; no point behind it can be reached from before it. Put it "
                "back from older versions. If it is lost, prove a full behind it, then: ft-ops "
                f"backup accept-hole {hole.first.name} {hole.last.name} --reason …"
            )
