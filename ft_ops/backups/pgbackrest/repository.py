"""Runs pgbackrest on one stanza of one repository.

Its own configuration says where the repository is, how it is encrypted and where the server is;
nothing of that is known here. It is asked by its own commands alone, so that a repository in S3, in
a folder or on another machine is the same to us.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pydantic import BaseModel, TypeAdapter, ValidationError

from ft_ops.backups.provider import ContentError
from ft_ops.errors import OpsError
from ft_ops.pg.supervision.walls import Walls
from ft_ops.programs import run

PROGRAM: Final = "pgbackrest"

_ASKING_SECONDS: Final = 600.0
"""How long it may take for what only reads or changes its catalog."""

# What it says of bytes that are not what it wrote. A passphrase or a format that it does not know
# says nothing about them.
_DAMAGED: Final = re.compile(
    r"unexpected eof in compressed data"
    r"|\b(?:lz4|zlib|zst|zstd|bz2) (?:threw )?error"
    r"|actual checksum '[0-9a-f]+' does not match"
)


class StoredFile(BaseModel):
    """What `repo-ls` says of a file: ``time`` in seconds since 1970."""

    type: str
    size: int = 0
    time: int = 0

    @property
    def stored_at(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC)


_LISTING: Final = TypeAdapter(dict[str, StoredFile])


@dataclass(frozen=True, slots=True)
class Repository:
    """One stanza of one repository. ``number`` is the N of its repoN- options."""

    config: Path | None
    stanza: str
    number: int

    def ask(self, command: str, *arguments: str, console: str = "off") -> str:
        """What it answers to a command that takes no long time. ``console`` is its log's level."""
        return self._run(command, *arguments, timeout_seconds=_ASKING_SECONDS, console=console)

    def work(
        self,
        command: str,
        *arguments: str,
        timeout_seconds: float,
        walls: Walls | None = None,
        gives_way: bool = False,
    ) -> None:
        """Let it work for as long as that; within ``walls`` it writes nowhere else.

        Whether it ``gives_way`` is said to `run`. A ContentError where it finds that what is stored
        is not what it stored.
        """
        try:
            self._run(
                command,
                *arguments,
                timeout_seconds=timeout_seconds,
                walls=walls,
                gives_way=gives_way,
            )
        except OpsError as error:
            if _DAMAGED.search(error.cause) is None:
                raise
            raise ContentError(
                f"{PROGRAM} {command}",
                cause=error.cause,
                next_step="look for another copy of the file that it names; without one, what "
                "needs it is lost, so take a full backup now",
            ) from error

    def files(self, folder: str) -> Mapping[str, StoredFile]:
        """Every file below a folder of the repository, by its path in there."""
        # It takes no stanza: a repository has more than those.
        said = self._run(
            "repo-ls",
            *("--recurse", "--output=json", folder),
            timeout_seconds=_ASKING_SECONDS,
            has_stanza=False,
        )
        try:
            found = _LISTING.validate_json(said)
        except ValidationError as error:
            raise not_understood("repo-ls", error) from error
        return {path: listed for path, listed in found.items() if listed.type == "file"}

    def info(self) -> object:
        """What it says of the stanza, as JSON; an OpsError unless it says it for certain."""
        said = self.ask("info", "--output=json")
        try:
            return json.loads(said)
        except ValueError as error:
            raise not_understood("info", error) from error

    def _run(
        self,
        command: str,
        *arguments: str,
        timeout_seconds: float,
        console: str = "off",
        walls: Walls | None = None,
        has_stanza: bool = True,
        gives_way: bool = False,
    ) -> str:
        options = [f"--config={self.config}"] if self.config is not None else []
        options += [f"--stanza={self.stanza}"] if has_stanza else []
        options += [
            f"--repo={self.number}",
            f"--log-level-console={console}",
            "--log-level-stderr=error",
            "--log-level-file=off",
            "--no-log-timestamp",
        ]
        return run(
            PROGRAM,
            [*options, command, *arguments],
            timeout_seconds=timeout_seconds,
            walls=walls,
            gives_way=gives_way,
        )


def not_understood(command: str, error: Exception) -> OpsError:
    """Nobody knows what it has: that is no empty list."""
    return OpsError(
        f"{PROGRAM} {command}",
        cause=f"its answer is not understood: {error}",
        next_step="use a version of pgBackRest from 2.41 on; if it is newer than this project, "
        "report it",
    )
