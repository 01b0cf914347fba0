"""Deletes one backup from a repository, and of the log what nothing needs any more.

pgBackRest's `expire` has rules of its own: what depends on the named backup goes with it, and with
every call so does the log that its retention settings let go. So it is shown first, with settings
that let go of nothing else, and done only if it would take what was named and no more.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from ft_ops.backups.barman.wal import Segment
from ft_ops.backups.pgbackrest.catalog import StanzaCatalog
from ft_ops.backups.pgbackrest.repository import Repository
from ft_ops.backups.provider import Log, StoredBackup
from ft_ops.errors import OpsError, Refused

_LINE: Final = re.compile(r"\[DRY-RUN\] (?:repo\d+: )?(.*)")
_BACKUP: Final = re.compile(r"remove expired backup (\S+)")
_LOG: Final = re.compile(r"\S+ remove archive, start = ([0-9A-F]{24}), stop = ([0-9A-F]{24})")
# It says what it is about, and what it does not do.
_WORDS: Final = re.compile(
    r"expire command (?:begin|end)|expire adhoc backup |\S+ archive retention on backup "
    r"|\S+ no archive to remove"
)
_ALL: Final = 9_999_999


def delete_backup(
    repository: Repository,
    catalog: StanzaCatalog,
    backup: StoredBackup,
    others: Collection[StoredBackup],
    segment_bytes: int,
    log: Log,
) -> None:
    """Delete one backup; Refused when that would take anything that stays.

    Of the log goes what is older than the oldest full that is left.
    """
    label = backup.provider_id
    needing = catalog.needing(label)
    if needing:
        raise Refused(
            f"delete {backup.name}",
            cause=f"{', '.join(needing)} can't be restored without it",
            next_step="nothing: it is deleted after the backups that need it",
        )
    if label not in {known.label for known in catalog.backups}:
        raise Refused(
            f"delete {backup.name}",
            cause=f"pgBackRest does not list {label}, and deletes what it lists alone",
            next_step="the next full backup removes what one that failed has left",
        )
    fulls = len([full for full in catalog.fulls if full != label])
    arguments = [
        f"--set={label}",
        f"--repo{repository.number}-retention-full={_ALL}",
        f"--repo{repository.number}-retention-archive-type=full",
        f"--repo{repository.number}-retention-archive={max(fulls, 1)}",
    ]
    shown = repository.ask("expire", *arguments, "--dry-run", console="info")
    _refuse_more_than(label, shown, backup, others, segment_bytes)
    repository.ask("expire", *arguments)
    log(f"deleted {backup.location}")


def own_rules(repository: Repository) -> list[str]:
    """What pgBackRest's own retention would delete, in its words: with the next backup of others.

    It knows neither what was verified nor what is held.
    """
    shown = repository.ask("expire", "--dry-run", console="info")
    lines = [match[1] for line in shown.splitlines() if (match := _LINE.search(line)) is not None]
    return [line for line in lines if _BACKUP.match(line) or _LOG.match(line)]


def _refuse_more_than(
    label: str,
    shown: str,
    backup: StoredBackup,
    others: Collection[StoredBackup],
    segment_bytes: int,
) -> None:
    what = f"delete {backup.name}"
    lines = [match[1] for line in shown.splitlines() if (match := _LINE.search(line)) is not None]
    backups = [match[1] for line in lines if (match := _BACKUP.match(line)) is not None]
    segments = [match[2] for line in lines if (match := _LOG.match(line)) is not None]
    odd = [line for line in lines if not any(w.match(line) for w in (_BACKUP, _LOG, _WORDS))]
    if odd or not lines:
        raise OpsError(
            what,
            cause="what pgBackRest would delete is not understood: "
            + ("; ".join(odd) or "it says nothing"),
            next_step="see `pgbackrest expire --dry-run`; if its version is newer than this "
            "project, report it",
        )
    if backups != [label]:
        raise Refused(
            what,
            cause=f"pgBackRest would delete {', '.join(backups) or 'nothing'} for {label}",
            next_step="see who else takes or expires backups of this stanza",
        )
    unknown = [o.name for o in others if o.kind == "full" and o.begins_at_wal is None]
    if segments and unknown:
        raise Refused(
            what,
            cause=f"nobody knows which log {', '.join(unknown)} needs",
            next_step="see why pgBackRest does not list it, or give it up by "
            "`ft-ops backup acknowledge`",
        )
    needed = [Segment.parse(o.begins_at_wal, segment_bytes) for o in others if o.begins_at_wal]
    last = max((Segment.parse(name, segment_bytes) for name in segments), default=None)
    if needed and last is not None and last >= min(needed):
        raise Refused(
            what,
            cause=f"pgBackRest would delete the log up to {last.name}, and a backup that stays "
            f"needs it from {min(needed).name} on",
            next_step="see `pgbackrest info` for what it lists of that backup",
        )
