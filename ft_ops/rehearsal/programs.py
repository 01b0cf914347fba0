"""The new version's programs: which, and whether they are."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from ft_ops.errors import OpsError, Refused
from ft_ops.pg import server as pg

EMBEDDED_NEWEST: Final = 18
"""The newest version that the package of embedded servers carries."""

_PROGRAMS: Final = ("initdb", "pg_ctl", "pg_upgrade", "postgres")


def new_programs(chosen: Path | None, old_major: int) -> Path:
    """The folder of the new version's programs; Refused where it is no newer one, or not whole."""
    bin_dir = chosen if chosen is not None else _embedded(old_major)
    missing = [name for name in _PROGRAMS if not (bin_dir / name).is_file()]
    if missing:
        raise Refused(
            f"FT_UPGRADE_BIN_DIR {bin_dir}",
            cause=f"it lacks {', '.join(missing)}",
            next_step="name the folder of all of a newer version's server programs",
        )
    try:
        major = pg.major_version(bin_dir)
    except (OSError, subprocess.SubprocessError) as error:
        raise OpsError(
            f"FT_UPGRADE_BIN_DIR {bin_dir}",
            cause=f"its postgres does not run: {error}",
            next_step="install that version with the libraries that it needs",
        ) from error
    if major <= old_major:
        raise Refused(
            f"an upgrade from {old_major} to {major}",
            cause="it is no newer version",
            next_step="name the folder of a newer version's programs by FT_UPGRADE_BIN_DIR",
        )
    return bin_dir


def _embedded(old_major: int) -> Path:
    if old_major >= EMBEDDED_NEWEST:
        raise Refused(
            f"an upgrade from {old_major}",
            cause="no newer version's programs are here",
            next_step="name their folder by FT_UPGRADE_BIN_DIR",
        )
    return pg.embedded_binaries(EMBEDDED_NEWEST)
