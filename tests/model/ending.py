"""The end of a life: what was begun is ended, everything comes back, and is compared."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from datetime import timedelta

import boto3
import pyarrow.parquet as pq

from tests.model.life import Life, Step
from tests.model.operations import SETTINGS
from tests.model.oracle import SEGMENTS, Key
from tests.model.schema_changes import DECLARATIONS
from tests.model.writer import Finding

_ROUNDS = 6
"""Of an operator, or of daily schedules; each goes on where the last one was refused."""


def end(life: Life, chance: random.Random, *, full: bool) -> None:
    """Bring everything back, and compare; with ``full``, send everything away before."""
    for name, value in SETTINGS.items():
        life.operations.change(name, value)
    while life.oracle.held:
        life.do(("release", 0))
    numbers = list(range(len(life.months)))
    chance.shuffle(numbers)
    if full:
        for number in numbers:
            _send_away(life, number)
        _erase(life)
        _refuse_erased(life)
    chance.shuffle(numbers)
    for number in numbers:
        _bring_back(life, number)
    life.oracle.away.clear()
    life.oracle.beside.clear()
    life.oracle.limbo.clear()
    life.check()


def _send_away(life: Life, number: int) -> None:
    said: list[str] = []
    for _ in range(_ROUNDS):
        said.clear()
        _end_what_was_begun(life, number, said)
        if not _present(life, number):
            return
    raise Finding(f"{life.months[number]} never leaves: {said}")


def _bring_back(life: Life, number: int) -> None:
    """Thaw the month; where that is refused, end first what was begun, as the schedules would."""
    said: list[str] = []
    for round_ in range(_ROUNDS):
        said.clear()
        if round_ > 0:
            _end_what_was_begun(life, number, said)
        for _ in range(3):
            if _is_whole(life, number):
                return
            _do(life, ("ops", "thaw", number, 0), said)
    missing = sorted(_segments(life, number) - set(life.place.readable([]).rows))
    if missing:
        raise Finding(f"{life.months[number]} can't be brought back: {missing}; {said}")


def _end_what_was_begun(life: Life, number: int, said: list[str]) -> None:
    _declare(life)
    month = life.months[number]
    if month in life.asked:
        family = life.asked[month]
        step: Step = ("ops", "thaw", number, 0)
        # Twice: the copies that Glacier makes don't last.
        for _ in range(2):
            _do(life, ("ops", "thaw a family", number, family) if family else step, said)
    for name in ("refreeze", "erase", "erase", "move", "archive", "backup", "purge"):
        _do(life, ("backup",) if name == "backup" else ("ops", name, number, 0), said)


def _declare(life: Life) -> None:
    """As a person does who was told that a column may have been renamed."""
    for change in life.schema & DECLARATIONS.keys():
        life.place.owner.execute(DECLARATIONS[change].encode())


def _do(life: Life, step: Step, said: list[str]) -> None:
    said.append(f"{step}: {life.do(step)}")
    life.pass_time(timedelta(days=2))


def _erase(life: Life) -> None:
    for _ in range(2):
        life.do(("ops", "erase", 0, 0))
        life.pass_time(timedelta(days=2))


def _segments(life: Life, number: int) -> set[Key]:
    month = life.months[number]
    return {k for k in life.oracle.of_table(SEGMENTS) if life.oracle.months[k[1]] == month}


def _present(life: Life, number: int) -> bool:
    return not _segments(life, number).isdisjoint(life.place.readable([]).rows)


def _is_whole(life: Life, number: int) -> bool:
    there = life.readable().rows
    waiting = life.oracle.beside.intersection(life.oracle.of_month(life.months[number]))
    return (_segments(life, number) | waiting) <= set(there)


def _refuse_erased(life: Life) -> None:
    """Nothing in a bucket holds the text of a segment that was deleted."""
    stored = "\n".join(text for bucket in life.buckets for text in _texts(bucket))
    for key, versions in life.oracle.gone.items():
        if key[0] == SEGMENTS:
            for values in versions:
                marker = (values["text_content"] or b"").decode().split(" ")[0] + " "
                if f"\n{marker}" in f"\n{stored}":
                    raise Finding(f"erased content is still in the bucket: {key}, {marker}")


def _texts(bucket: str) -> Iterator[str]:
    s3 = boto3.client("s3")
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for item in page.get("Versions", []):
            if "table=content_segments/" in item["Key"] and item["Key"].endswith(".parquet"):
                body = _body(bucket, item["Key"], item["VersionId"], item["StorageClass"])
                table = pq.read_table(io.BytesIO(body))
                yield from (str(value) for value in table["text_content"].to_pylist())


def _body(bucket: str, key: str, version: str, storage_class: str) -> bytes:
    """Past Glacier's doors: a client of a session that the model does not stand in front of."""
    s3 = boto3.session.Session().client("s3")
    if storage_class in {"GLACIER", "DEEP_ARCHIVE"}:
        s3.restore_object(Bucket=bucket, Key=key, VersionId=version, RestoreRequest={"Days": 1})
    return s3.get_object(Bucket=bucket, Key=key, VersionId=version)["Body"].read()
