"""Points, certificates and holds beside the backups, for whoever has nothing but the bucket."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Final

from ft_ops.backups.points.points import RestorePoint
from ft_ops.errors import OpsError
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import hide, objects, put_once, read_current

POINTS: Final = "points"
CERTIFICATES: Final = "certificates"
REFUTATIONS: Final = "refutations"
MOMENTS: Final = "moments"
HOLDS: Final = "holds"
ACCEPTED_HOLES: Final = "accepted-holes"
REHEARSALS: Final = "rehearsals"

_AT = "%Y%m%dT%H%M%S%fZ"
_HOLE = re.compile(r"([0-9A-F]{24})-([0-9A-F]{24})")


def point_key(name: str) -> str:
    """Where the point ``name`` lies in the bucket."""
    return f"{POINTS}/{name}.json"


def write_point(bucket: Bucket, point: RestorePoint) -> None:
    """Store a point. It is written last of a backup: whoever finds it finds all the rest."""
    put_once(bucket, point_key(point.name), _json(point.to_json()))


def read_point(bucket: Bucket, name: str) -> RestorePoint:
    """The point ``name``; an OpsError when there is none, or when it can't be read."""
    return RestorePoint.from_json(_read(bucket, point_key(name)))


def hide_point(bucket: Bucket, name: str) -> None:
    """Delete a point that has lost its backup; an older version of the object stays."""
    hide(bucket, point_key(name))


def point_names(bucket: Bucket) -> list[str]:
    """The names of the points in the bucket."""
    return [PurePosixPath(found.key).stem for found in objects(bucket, f"{POINTS}/")]


@dataclass(frozen=True, slots=True)
class WrittenVerdict:
    """A certificate in the bucket: a proof that a backup was whole, or what refuted it."""

    backup: str
    finished_at: datetime
    is_proof: bool
    key: str


def write_certificate(
    bucket: Bucket,
    backup: str | None,
    target: str,
    finished_at: datetime,
    certificate: Mapping[str, object],
) -> str:
    """Store a drill's proof; returns its key.

    What lies below ``certificates/NAME`` proves the backup of that name. A recovery to the moment
    of ``target`` that used no backup of ours proves none: it lies below ``moments/``.
    """
    if backup is None:
        return _write_verdict(bucket, MOMENTS, target, finished_at, certificate)
    return _write_verdict(bucket, CERTIFICATES, backup, finished_at, certificate)


def write_refutation(
    bucket: Bucket, backup: str, finished_at: datetime, certificate: Mapping[str, object]
) -> str:
    """Store what a drill found wrong; returns its key."""
    return _write_verdict(bucket, REFUTATIONS, backup, finished_at, certificate)


def write_rehearsal(
    bucket: Bucket, point: str, finished_at: datetime, certificate: Mapping[str, object]
) -> str:
    """Store what an upgrade of the copy at ``point`` came to; returns its address."""
    return bucket.url(_write_verdict(bucket, REHEARSALS, point, finished_at, certificate))


def written_verdicts(bucket: Bucket) -> list[WrittenVerdict]:
    """Every proof and refutation in the bucket by its key, oldest first."""
    found = [*_verdicts_below(bucket, CERTIFICATES), *_verdicts_below(bucket, REFUTATIONS)]
    return sorted(found, key=lambda verdict: verdict.finished_at)


def read_certificate(bucket: Bucket, verdict: WrittenVerdict) -> dict[str, object]:
    """The certificate of a verdict; an OpsError when it can't be read."""
    record = _read(bucket, verdict.key)
    if not isinstance(record, dict):
        raise _no_record(bucket, verdict.key, "it holds no record")
    return record


def place_hold(bucket: Bucket, name: str, hold: Mapping[str, object]) -> None:
    """Keep a backup from every deletion; Refused when it is held already."""
    put_once(bucket, f"{HOLDS}/{name}.json", _json(hold))


def lift_hold(bucket: Bucket, name: str) -> None:
    """Undo `place_hold`; an older version of the object tells who placed it."""
    hide(bucket, f"{HOLDS}/{name}.json")


def held_names(bucket: Bucket) -> list[str]:
    """The names of the backups that are held."""
    return [PurePosixPath(found.key).stem for found in objects(bucket, f"{HOLDS}/")]


def write_accepted_hole(
    bucket: Bucket, cluster: str, first: str, last: str, record: Mapping[str, object]
) -> None:
    """Record that a person knows a cluster's log to lack these segments; Refused if it is there.

    The key has all that counts: who reads it needs no more than to list the bucket.
    """
    put_once(bucket, f"{ACCEPTED_HOLES}/{cluster}/{first}-{last}.json", _json(record))


def accepted_holes(bucket: Bucket, cluster: str) -> list[tuple[str, str]]:
    """The first and the last segment of each hole of a cluster's log that a person has accepted.

    Each cluster begins to count anew: another's segments have the same names.
    """
    stems = (PurePosixPath(o.key).stem for o in objects(bucket, f"{ACCEPTED_HOLES}/{cluster}/"))
    return [(match[1], match[2]) for stem in stems if (match := _HOLE.fullmatch(stem))]


def _write_verdict(
    bucket: Bucket,
    folder: str,
    backup: str,
    finished_at: datetime,
    certificate: Mapping[str, object],
) -> str:
    key = f"{folder}/{backup}/{finished_at:{_AT}}.json"
    put_once(bucket, key, _json(certificate))
    return key


def _verdicts_below(bucket: Bucket, folder: str) -> Iterator[WrittenVerdict]:
    for found in objects(bucket, f"{folder}/"):
        path = PurePosixPath(found.key)
        try:
            at = datetime.strptime(path.stem, _AT).replace(tzinfo=UTC)
        except ValueError:
            continue  # nothing that these operations wrote
        yield WrittenVerdict(path.parent.name, at, folder == CERTIFICATES, found.key)


def _read(bucket: Bucket, key: str) -> object:
    try:
        return json.loads(read_current(bucket, key))
    except ValueError as error:
        raise _no_record(bucket, key, f"it holds no JSON: {error}") from error


def _no_record(bucket: Bucket, key: str, cause: str) -> OpsError:
    return OpsError(
        bucket.url(key), cause=cause, next_step="restore an older version of this object"
    )


def _json(record: Mapping[str, object]) -> bytes:
    return json.dumps(record, indent=1, sort_keys=True).encode() + b"\n"
