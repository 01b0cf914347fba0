"""A copy of the database at a point, restored as a drill restores it, to read rows from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ft_ops.backups.drill.plan import DrillPlan, named_plan
from ft_ops.backups.drill.recovery import ScratchCopy, control_data, scratch_settings
from ft_ops.backups.drill.scratch import refuse_too_little_room
from ft_ops.backups.inventory import ledger
from ft_ops.backups.inventory.inventory import count_again
from ft_ops.backups.inventory.ledger import Entry
from ft_ops.backups.points.bucket_records import read_point
from ft_ops.backups.points.points import RestorePoint
from ft_ops.backups.provider import Log, RestoredCopy
from ft_ops.backups.providers import Workplace, drill_folder
from ft_ops.errors import OpsError, Refused
from ft_ops.pg.connect import Connection, connected
from ft_ops.pg.locks import only_one
from ft_ops.pg.server import Server

_READ_ONLY: Final = {"default_transaction_read_only": "on"}


@dataclass(frozen=True, slots=True)
class RestoredCopyAt:
    """An open copy: everything that was committed before ``at`` is in it."""

    connection: Connection
    point: str
    at: datetime
    source: str


@contextmanager
def restored_copy(work: Workplace, at: str, log: Log) -> Iterator[RestoredCopyAt]:
    """The database as it was at a point, for a block, on a server that goes with it.

    ``at`` is the name of a full or an increment, or a moment: then it is the newest point before
    that; empty, the newest of all. What a drill has refuted is not used. Refused when there is no
    such point, or while a drill is held.
    """
    with (
        _restored(work, at, log) as (copy, point, words),
        connected(copy.url, application="restore", settings=_READ_ONLY) as connection,
    ):
        yield RestoredCopyAt(connection, point.name, point.at, words)


@dataclass(frozen=True, slots=True)
class RestoredServer:
    """A copy with its files: a server in ``folder``, which writes nowhere else and ends with us."""

    server: Server
    folder: Path
    url: str
    admin_url: str
    point: RestorePoint
    source: str

    @property
    def settings(self) -> Mapping[str, str]:
        """What any server is configured with that shall read these files."""
        return scratch_settings(self.point)

    @property
    def control(self) -> Mapping[str, str]:
        """What pg_controldata says of it."""
        return control_data(self.server)


@contextmanager
def restored_server(
    work: Workplace, at: str, log: Log, *, spare_bytes: int
) -> Iterator[RestoredServer]:
    """Like `restored_copy`, with the files: whoever holds the block may stop it and change them.

    ``spare_bytes`` is what the block will need besides the copy: Refused where there is less. Also
    refused where the provider shows nobody the files.
    """
    if not work.provider.recovers_by_log:
        raise Refused(
            f"the files of a copy by {work.provider.name}",
            cause="nobody but the provider has them",
            next_step="see what the provider offers for this itself",
        )
    folder = drill_folder(work.settings)
    plan = plan_for(ledger.entries(work.connection), at, by_log=True)
    expected = ledger.read_point(work.connection, plan.target.name)
    refuse_too_little_room(folder, expected.cluster_bytes + spare_bytes)
    with _restored(work, at, log) as (copy, point, words):
        assert isinstance(copy, ScratchCopy)
        folder = copy.server.data_dir.parent
        refuse_too_little_room(folder, spare_bytes)
        yield RestoredServer(copy.server, folder, copy.url, copy.admin_url, point, words)


@contextmanager
def _restored(
    work: Workplace, at: str, log: Log
) -> Iterator[tuple[RestoredCopy, RestorePoint, str]]:
    plan = plan_for(ledger.entries(work.connection), at, by_log=work.provider.recovers_by_log)
    with only_one(work.connection, "restore drill"):
        point = read_point(work.bucket, plan.target.name)
        if point != ledger.read_point(work.connection, plan.target.name):
            raise OpsError(
                f"restore point {plan.target.name}",
                cause="its object in the bucket and its row in ops.backups differ",
                next_step="see which was changed: the object has versions, the row an audit log",
            )
        stored, problem = count_again(
            work.connection, work.provider, work.bucket, plan.backup.name, log
        )
        if stored is None or problem is not None:
            raise OpsError(
                f"backup {plan.backup.name}",
                cause=str(problem),
                next_step="take another point; see `ft-ops backup list`",
            )
        source = work.provider.source(stored, point)
        log(f"restoring {source.words} to {point.name}, {point.at:%F %T}Z")
        with work.provider.restore(stored, point, log) as copy:
            yield copy, point, source.words


def plan_for(entries: Sequence[Entry], at: str, *, by_log: bool) -> DrillPlan:
    """Which backup to restore and to whose point; Refused when none fits."""
    usable = [
        entry
        for entry in entries
        if entry.state == "complete" and entry.kind != "dump" and entry.verdict != "refuted"
    ]
    names = {entry.name for entry in usable}
    _refuse_unusable(entries, at.strip(), names)
    if at.strip() and at.strip() not in names:
        moment = _moment(at.strip())
        usable = [e for e in usable if e.point_at is not None and e.point_at <= moment]
    if not usable:
        raise Refused(
            f"a copy of {at.strip() or 'the newest point'}",
            cause="no full backup or increment that nothing refuted is as old as that",
            next_step="see `ft-ops backup list`; older content may be in the archive",
        )
    chosen = at.strip() if at.strip() in names else usable[-1].name
    return named_plan(usable, chosen, by_log=by_log)


def _refuse_unusable(entries: Sequence[Entry], name: str, usable: Collection[str]) -> None:
    """Refused when a backup is named from which no copy can be taken."""
    named = next((entry for entry in entries if entry.name == name), None)
    if named is None or name in usable:
        return
    if named.kind == "dump":
        cause = "it is a dump, which has no log"
    elif named.state != "complete":
        cause = f"it is {named.state}"
    else:
        cause = "a drill refuted it"
    raise Refused(
        f"a copy of {name}",
        cause=cause,
        next_step="take another point; see `ft-ops backup list`",
    )


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Refused(
            f"point {text!r}",
            cause="it is neither a backup's name nor a moment",
            next_step="name one that `ft-ops backup list` shows, or write 2026-11-24T18:00Z",
        ) from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
