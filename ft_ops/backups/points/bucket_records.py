"""Restore points and certificates beside the backups, for whoever has nothing but the bucket."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import PurePosixPath

from ft_ops.backups.points.points import RestorePoint
from ft_ops.errors import OpsError
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import hide, objects, put_once, read_current

POINTS = "points"
CERTIFICATES = "certificates"


def point_key(name: str) -> str:
    """Where the point ``name`` lies in the bucket."""
    return f"{POINTS}/{name}.json"


def write_point(bucket: Bucket, point: RestorePoint) -> None:
    """Store a point. It is written last of a backup: whoever finds it finds all the rest."""
    put_once(bucket, point_key(point.name), _json(point.to_json()))


def read_point(bucket: Bucket, name: str) -> RestorePoint:
    """The point ``name``; an OpsError when there is none, or when it can't be read."""
    key = point_key(name)
    body = read_current(bucket, key)
    try:
        record = json.loads(body)
    except ValueError as error:
        raise OpsError(
            bucket.url(key),
            cause=f"it holds no JSON: {error}",
            next_step="restore an older version of this object",
        ) from error
    return RestorePoint.from_json(record)


def hide_point(bucket: Bucket, name: str) -> None:
    """Delete a point that has lost its backup; an older version of the object stays."""
    hide(bucket, point_key(name))


def point_names(bucket: Bucket) -> list[str]:
    """The names of the points in the bucket."""
    return [PurePosixPath(found.key).stem for found in objects(bucket, f"{POINTS}/")]


def write_certificate(
    bucket: Bucket, backup: str, finished_at: datetime, certificate: Mapping[str, object]
) -> str:
    """Store a drill's certificate; returns its key."""
    key = f"{CERTIFICATES}/{backup}/{finished_at:%Y%m%dT%H%M%S%fZ}.json"
    put_once(bucket, key, _json(certificate))
    return key


def _json(record: Mapping[str, object]) -> bytes:
    return json.dumps(record, indent=1, sort_keys=True).encode() + b"\n"
