"""What a version of PostgreSQL knows: settings, types and extensions, asked of an empty cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from psycopg.rows import class_row

from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement

_BOOLEANS = frozenset({"on", "off", "true", "false", "yes", "no", "1", "0"})
_LISTED = 4


@dataclass(frozen=True, slots=True)
class LiveSetting:
    """A setting of the live server's own; ``is_planners``: it decides about plans."""

    name: str
    setting: str
    vartype: str
    is_planners: bool
    unit: str | None

    @property
    def unit_word(self) -> str:
        """What to write behind the number: blocks are 8 kB, and have no word of their own."""
        return "" if self.unit is None or self.unit[0].isdigit() else self.unit


@dataclass(frozen=True, slots=True)
class KnownSetting:
    """A setting of a version, with what it takes."""

    name: str
    vartype: str
    min_val: str | None
    max_val: str | None
    enumvals: list[str] | None
    boot_val: str | None
    unit: str | None


@dataclass(frozen=True, slots=True)
class Known:
    """What the new version knows, and the major version that is upgraded to it."""

    version: str
    old_major: int
    settings: Mapping[str, KnownSetting]
    types: frozenset[str]
    extensions: Mapping[str, str]

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])

    def problem_with(self, name: str, setting: str) -> str | None:
        """Why the new version would not take a setting; None where it would, or nobody can say.

        Names with a dot are an extension's, which is not loaded here.
        """
        if "." in name:
            return None
        known = self.settings.get(name.lower())
        if known is None:
            return f"{self.major} does not know it: take it out"
        if known.vartype == "enum":
            values = known.enumvals or []
            if setting.lower() not in values and setting.lower() not in _BOOLEANS:
                listed = ", ".join(values[:_LISTED])
                return f"{self.major} does not take {setting!r}: set one of {listed}"
        if known.vartype in {"integer", "real"} and not _within(setting, known):
            words = f"{self.major} takes {known.min_val} to {known.max_val}"
            return f"{setting} is out of range: {words}"
        return None


def read_known(connection: Connection, old_major: int) -> Known:
    """Ask a running server of the new version."""
    extensions = connection.execute(statement("rehearsal/known_extensions")).fetchall()
    return Known(
        version_of(connection),
        old_major,
        read_settings(connection),
        frozenset(name for (name,) in connection.execute(statement("rehearsal/known_types"))),
        dict(extensions),
    )


def read_settings(connection: Connection) -> dict[str, KnownSetting]:
    """Every setting of a running server's version."""
    with connection.cursor(row_factory=class_row(KnownSetting)) as cursor:
        return {s.name: s for s in cursor.execute(statement("rehearsal/known_settings"))}


def version_of(connection: Connection) -> str:
    """``16.14``."""
    return (connection.info.parameter_status("server_version") or "").split()[0]


def changed_defaults(
    old: Mapping[str, KnownSetting], new: Mapping[str, KnownSetting], own: Iterable[str]
) -> Iterator[tuple[str, str, str]]:
    """Settings that nobody has set, and whose default is another: name, old value, new value."""
    is_set = set(own)
    for name in sorted(old.keys() & new.keys() - is_set):
        before, after = (_shown(side[name]) for side in (old, new))
        if before != after:
            yield name, before, after


def _shown(setting: KnownSetting) -> str:
    return f"{setting.boot_val or ''}{setting.unit or ''}"


def _within(setting: str, known: KnownSetting) -> bool:
    try:
        value = float(setting)
    except ValueError:
        return True  # with a unit, or in words
    return float(known.min_val or "-inf") <= value <= float(known.max_val or "inf")
