"""A masked dump of last night's copy: restored, masked, dumped, looked through, handed out."""

from __future__ import annotations

import os
import secrets
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ft_ops.backups import RestoredServer, Workplace, restored_server
from ft_ops.errors import OpsError, Refused
from ft_ops.format import human_bytes
from ft_ops.pg.connect import connected
from ft_ops.pg.rows import one_row
from ft_ops.s3.bucket import Bucket, open_bucket
from ft_ops.s3.upload import UploadOnce
from ft_ops.settings import Settings
from ft_ops.staging.definitions import refuse_in_definitions, words_of_postgresql
from ft_ops.staging.dump import MaskedServer, refuse_found, write_dump
from ft_ops.staging.mask import (
    Keys,
    Masked,
    mask,
    personal_texts,
    refuse_unruled,
    tables_of_extensions,
    texts_of_definitions,
    texts_of_rows,
)
from ft_ops.staging.roles import rename_superuser
from ft_ops.staging.rules import MaskingRules, load_rules

_LEAST_SALT: Final = 32
_CHUNK_BYTES: Final = 1 << 20

Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class MaskedDump:
    """What was handed out, where, and what was masked for it.

    ``looked_for`` is how many personal texts were looked for in its bytes, and not found.
    ``is_repeatable``: the same value becomes the same in the next dump, by a salt that is kept.
    """

    address: str
    bytes: int
    point: str
    source: str
    masked: tuple[Masked, ...]
    looked_for: int
    is_repeatable: bool

    @property
    def sentence(self) -> str:
        rows = sum(table.rows for table in self.masked)
        return f"{rows:,} rows masked, {human_bytes(self.bytes)} in {self.address}"


Deliver = Callable[[Path], str]
"""Takes the finished dump away and says where it is then."""


def mask_copy(work: Workplace, at: str, deliver: Deliver, log: Log) -> MaskedDump:
    """A masked dump of the copy at a point: a backup's name, a moment, or empty for the newest.

    Refused, and nothing handed out, where a column has no rule or a personal text is in the dump.
    """
    salt = _salt(work.settings.staging_salt_file)
    rules = load_rules()
    size = _cluster_bytes(work)
    with restored_server(work, at, log, spare_bytes=2 * size) as copy:
        return mask_on(copy, rules, salt, deliver, log, work.settings.backup_timeout_minutes * 60)


def mask_on(
    copy: RestoredServer,
    rules: MaskingRules,
    salt: bytes | None,
    deliver: Deliver,
    log: Log,
    timeout_seconds: float,
) -> MaskedDump:
    """The same on a copy that runs. Without a salt, one is made and forgotten."""
    keys = Keys.of(salt if salt is not None else secrets.token_bytes(_LEAST_SALT))
    with connected(copy.admin_url, application="staging") as connection:
        columns = refuse_unruled(connection, rules)
        texts = personal_texts(connection, rules, columns)
        masked = mask(connection, rules, columns, keys, log)
        without_rows = tables_of_extensions(connection, rules)
        of_rows = texts_of_rows(connection, rules, texts)
        of_definitions = texts_of_definitions(connection, rules, texts)
        words = words_of_postgresql(connection)
    url = rename_superuser(copy.server, copy.admin_url)
    place = MaskedServer(copy.server, copy.folder, url, timeout_seconds)
    file = write_dump(place, rules, without_rows)
    refuse_found(place, file, of_rows)
    refuse_in_definitions(place, file, of_definitions, words)
    log(f"{len(texts)} personal texts were looked for in the dump, and none is there")
    found = MaskedDump(
        address="",
        bytes=file.stat().st_size,
        point=copy.point.name,
        source=copy.source,
        masked=tuple(masked),
        looked_for=len(texts),
        is_repeatable=salt is not None,
    )
    return _replaced(found, deliver(file))


def into_file(target: Path) -> Deliver:
    """Hand it out as a file that only we may read; Refused when it exists."""
    if target.exists():
        raise Refused(f"file {target}", cause="it exists", next_step="name another one")
    # Before the copy is restored and masked, which takes as long as a drill.
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise Refused(
            f"file {target}",
            cause="its folder is not there, or takes no new file",
            next_step="name a file in a folder that does",
        )

    def deliver(file: Path) -> str:
        part = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            with part.open("xb") as out, file.open("rb") as dump:
                os.fchmod(out.fileno(), 0o600)
                shutil.copyfileobj(dump, out, _CHUNK_BYTES)
            os.link(part, target)
        finally:
            part.unlink(missing_ok=True)
        return str(target)

    return deliver


def into_bucket(settings: Settings, now: datetime) -> Deliver:
    """Hand it out in FT_STAGING_BUCKET; Refused where that is a bucket of the operations' own."""
    name = settings.staging_bucket
    if name is None:
        raise OpsError(
            "FT_STAGING_BUCKET",
            cause="it is not set",
            next_step="name the bucket that developers take masked dumps from, or run `ft-ops "
            "backup mask --to FILE`",
        )
    own = {
        settings.archive_bucket,
        settings.archive_replica_bucket,
        settings.backup_bucket,
        settings.dr_bucket,
    }
    if name in own:
        raise Refused(
            f"FT_STAGING_BUCKET {name}",
            cause="it holds backups or the archive, which nobody who develops may read",
            next_step="name a bucket of its own",
        )
    bucket = open_bucket(name)
    return lambda file: _upload(bucket, f"masked/{now.astimezone(UTC):%Y%m%dT%H%M%SZ}.dump", file)


def dump_lines(found: MaskedDump) -> Iterator[str]:
    """What the command prints."""
    yield found.sentence
    yield f"  of {found.source}, at {found.point}"
    for table in found.masked:
        yield f"  {table.table}: {table.rows:,} rows, {', '.join(table.columns)}"
    yield f"  {found.looked_for} personal texts were looked for in it, and none is there"
    if not found.is_repeatable:
        yield "  FT_STAGING_SALT_FILE is not set: the next dump's values will be other ones"


def _upload(bucket: Bucket, key: str, file: Path) -> str:
    with file.open("rb") as dump, UploadOnce(bucket, key) as upload:
        while chunk := dump.read(_CHUNK_BYTES):
            upload.write(chunk)
    return bucket.url(key)


def _salt(path: Path | None) -> bytes | None:
    if path is None:
        return None
    how = f"make one by `head -c {_LEAST_SALT} /dev/urandom > FILE`, readable by you alone"
    try:
        salt = path.read_bytes()
    except OSError as error:
        raise OpsError(
            f"FT_STAGING_SALT_FILE {path}", cause=str(error.strerror), next_step=how
        ) from error
    if len(salt) < _LEAST_SALT:
        raise Refused(
            f"FT_STAGING_SALT_FILE {path}",
            cause=f"it has {len(salt)} bytes, and {_LEAST_SALT} are needed",
            next_step=how,
        )
    return salt


def _cluster_bytes(work: Workplace) -> int:
    row = one_row(work.connection.execute("SELECT pg_database_size(current_database())"))
    return int(row[0])


def _replaced(found: MaskedDump, address: str) -> MaskedDump:
    return replace(found, address=address)
