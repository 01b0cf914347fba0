"""Dumps a masked copy, and looks in the dump's own bytes for what must not be there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from psycopg import sql

from ft_ops.backups import run_within
from ft_ops.errors import OpsError, Refused
from ft_ops.pg import server as pg
from ft_ops.pg.server import Server
from ft_ops.staging.rules import MaskingRules

_OPTIONS: Final = (
    "--format=custom",
    # Owners, comments, subscriptions and large objects may name people, or be their words.
    "--no-owner",
    "--no-comments",
    "--no-security-labels",
    "--no-publications",
    "--no-subscriptions",
    "--no-blobs",
    "--extension=*",
)
_NONE_FOUND: Final = 1
_ROWS: Final = r"/^COPY .* FROM stdin;$/,/^\\\.$/{//!p;}"
"""Of a dump's text, the rows alone: its other lines have words of their own, as `messages`."""
_LOOK_SECONDS: Final = 6 * 3600


@dataclass(frozen=True, slots=True)
class MaskedServer:
    """A copy's server and folder, and how its database is entered by the superuser."""

    server: Server
    folder: Path
    url: str
    timeout_seconds: float


def write_dump(
    place: MaskedServer, rules: MaskingRules, without_rows: Iterable[tuple[str, str]]
) -> Path:
    """Dump the schemas that the rules name; everything else of the server stays out.

    ``without_rows`` are tables that would come along with their extensions.
    """
    target = place.folder / "masked"
    target.mkdir()
    pg.hand_over(target)
    file = target / "masked.dump"
    schemas = [f"--schema={schema}" for schema in rules.schemas]
    emptied = [f"--exclude-table-data={sql.Identifier(*name).as_string()}" for name in without_rows]
    done = run_within(
        [
            place.server.bin_dir / "pg_dump",
            *_OPTIONS,
            *schemas,
            *emptied,
            f"--file={file}",
            f"--dbname={place.url}",
        ],
        place.folder,
        at=target,
        timeout_seconds=place.timeout_seconds,
    )
    if done.status != 0:
        raise OpsError(
            "pg_dump of the masked copy",
            cause=f"exit status {done.status}: {done.said.strip()}",
            next_step="correct what it names, then run again",
        )
    return file


def refuse_found(place: MaskedServer, file: Path, texts: Mapping[str, str]) -> None:
    """Refused when one of the personal texts is in the rows of the dump, decompressed.

    The message names columns, never a text.
    """
    if not texts:
        return
    patterns = place.folder / "texts"
    descriptor = os.open(patterns, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write("".join(f"{text}\n" for text in texts))
    read: list[str | Path] = [place.server.bin_dir / "pg_restore", "--data-only", "--file=-", file]
    environment = pg.program_environment()
    with (
        subprocess.Popen(read, stdout=subprocess.PIPE, env=environment, cwd="/") as reading,
        subprocess.Popen(
            ["sed", "-n", _ROWS],
            stdin=reading.stdout,
            stdout=subprocess.PIPE,
            env=environment,
            cwd="/",
        ) as filtering,
    ):
        looked = subprocess.run(
            ["grep", "--text", "--only-matching", "--fixed-strings", f"--file={patterns}"],
            stdin=filtering.stdout,
            stdout=subprocess.PIPE,
            check=False,
            env=environment,
            timeout=_LOOK_SECONDS,
        )
    if reading.returncode or filtering.returncode or looked.returncode > _NONE_FOUND:
        raise OpsError(
            "the masked dump",
            cause="it could not be read through for what must not be in it",
            next_step="see that pg_restore, sed and grep run here; nothing was handed out",
        )
    found = set(looked.stdout.decode(errors="replace").splitlines())
    if looked.returncode != _NONE_FOUND:
        columns = sorted({texts.get(text, "a column") for text in found})
        raise Refused(
            "the masked dump",
            cause=f"{len(found)} texts of {', '.join(columns)} are in it",
            next_step="see which rule keeps them (sql/staging/rules.toml); nothing was handed out",
        )
