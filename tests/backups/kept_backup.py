"""A small backup that was made under an earlier schema, by the code of that day.

It is of migration 10: a full of a server with one month of a few segments, an increment behind it,
their restore points, and the rows of ops.backups. The base backup is kept as an xz of its tar, for
its size; the bucket gets it in lz4, as barman-cloud wrote it. The log is kept as it was.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import lz4.frame  # type: ignore[import-untyped]

from ft_ops.s3.bucket import Bucket

KEPT: Final = Path(__file__).parent / "fixtures" / "migration-0010"


@dataclass(frozen=True, slots=True)
class KeptBackup:
    """Of which cluster it is, its rows at the increment, and its objects by key and size."""

    system_identifier: str
    segment_bytes: int
    rows: int
    objects: list[Mapping[str, Any]]


def read_kept() -> KeptBackup:
    return KeptBackup(**json.loads((KEPT / "backup.json").read_text()))


def put_back(kept: KeptBackup, bucket: Bucket) -> list[Any]:
    """Its objects into a bucket, under their keys; the rows of ops.backups that tell of them.

    What is compressed again is another object than it was: the rows get its size and its ETag.
    """
    rows: list[Any] = json.loads(lzma.decompress((KEPT / "ledger.json.xz").read_bytes()))
    (full,) = (row for row in rows if row["kind"] == "full")
    for stored in kept.objects:
        body = (KEPT / stored["file"]).read_bytes()
        if stored["file"].endswith(".xz"):
            body = lzma.decompress(body)
        if stored["key"].endswith(".lz4"):
            body = lz4.frame.compress(body)
            full["bytes"] += len(body) - stored["bytes"]
        answer = bucket.client.put_object(Bucket=bucket.name, Key=stored["key"], Body=body)
        if (name := stored["key"].rpartition("/")[2]) in full["objects"]:
            full["objects"][name] = answer["ETag"].strip('"')
    return rows
