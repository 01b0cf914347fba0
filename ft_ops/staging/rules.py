"""What becomes of each column in a masked copy, as `sql/staging/rules.toml` says it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, cast, get_args

from psycopg.rows import class_row

from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import sql_root, statement

Kind = Literal[
    "kept",
    "checked",
    "vocabulary",
    "word",
    "name",
    "email",
    "url",
    "address",
    "text",
    "json",
    "constant",
    "empty",
]

PUBLIC: Final = "public"

STAYS: Final[frozenset[Kind]] = frozenset({"kept", "checked"})
"""Rules of columns that a masked copy has as they were."""

_ID: Final = "uuid"
"""The type of ids, which stay. Every other type needs a rule."""

_NUMBERS_AND_TIMES: Final = frozenset(
    {
        *("int2", "int4", "int8", "bool", "float4", "float8", "numeric"),
        *("timestamptz", "timestamp", "date", "time", "timetz", "interval", "oid", "pg_lsn"),
    }
)

_TEXTS: Final = frozenset({"text", "varchar", "bpchar", "name", "citext"})
_FITS: Final[Mapping[Kind, frozenset[str]]] = {
    "kept": _NUMBERS_AND_TIMES,
    "json": frozenset({"json", "jsonb"}),
    "address": frozenset({"inet"}),
}
_WORD: Final = r"'([^']|'')*'::(text|character varying|character|bpchar|name|citext)(\(\d+\))?"
_WORD_CAST: Final = rf"({_WORD}|\({_WORD}\)::text)"
_SUBJECT: Final = r'\(?(VALUE|[a-z_][a-z0-9_$]*|"([^"]|"")+")\)?(::text)?'
LISTED_WORDS: Final = (
    rf"^\({_SUBJECT} = (ANY \(\(?ARRAY\[{_WORD_CAST}(, {_WORD_CAST})*\](\)?::text\[\])?\)"
    rf"|{_WORD_CAST})\)$"
)
"""The expression of a CHECK that does nothing but list words, as PostgreSQL writes it out. One
with anything beside, as ``OR …``, lets other words pass."""

_MONTH: Final = re.compile(
    r"(public\.(?:archived_)?content_segments|public\.audit_log)_\d{4}_\d{2}"
)
_LONGEST: Final[Mapping[Kind, int]] = {"word": 25, "name": 17, "email": 40, "url": 48}


@dataclass(frozen=True, slots=True)
class Rule:
    """One column's rule; ``keys`` of JSON and ``words`` of a vocabulary are kept."""

    kind: Kind
    keys: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    value: str = ""


@dataclass(frozen=True, slots=True)
class MaskingRules:
    """All of them: table → column → rule."""

    tables: Mapping[str, Mapping[str, Rule]]
    schemas_without_rows: tuple[str, ...]
    kept: tuple[str, ...]
    migrations: str

    @property
    def schemas(self) -> tuple[str, ...]:
        """The schemas that a masked copy has."""
        return (PUBLIC, *self.schemas_without_rows)

    def of(self, table: str) -> Mapping[str, Rule] | None:
        """The rules of a table; a month that stands alone has those of its parent."""
        month = _MONTH.fullmatch(table)
        return self.tables.get(month[1] if month else table)

    def keeps_rows(self, table: str) -> bool:
        """Whether a masked copy has rows of a table."""
        return table.partition(".")[0] not in self.schemas_without_rows or table in self.kept


@dataclass(frozen=True, slots=True)
class MaskedColumn:
    """A column as the catalog has it; ``type`` is that of its elements where it is an array."""

    table_name: str
    name: str
    type: str
    typtype: str
    is_array: bool
    not_null: bool
    is_generated: bool
    length: int | None
    is_checked: bool

    @property
    def needs_a_rule(self) -> bool:
        """Whether it could tell of somebody. What is generated follows its sources."""
        return self.type != _ID and not self.is_generated

    def __str__(self) -> str:
        return f"{self.table_name}.{self.name}"


@cache
def load_rules() -> MaskingRules:
    """The rules beside the schema."""
    document = tomllib.loads((sql_root() / "staging" / "rules.toml").read_text(encoding="utf-8"))
    return rules_of(document)


def rules_of(document: Mapping[str, object]) -> MaskingRules:
    """MaskingRules as they are written; an OpsError where one is not understood."""
    tables = cast("Mapping[str, Mapping[str, object]]", document["tables"])
    return MaskingRules(
        {
            table: {name: _rule(f"{table}.{name}", written) for name, written in columns.items()}
            for table, columns in tables.items()
        },
        tuple(cast("list[str]", document["schemas_without_rows"])),
        tuple(cast("list[str]", document.get("kept", []))),
        str(document["migrations"]),
    )


def read_columns(connection: Connection, schemas: Iterable[str]) -> list[MaskedColumn]:
    """Every column of the tables of some schemas."""
    with connection.cursor(row_factory=class_row(MaskedColumn)) as cursor:
        given = {"schemas": list(schemas), "listed": LISTED_WORDS}
        return cursor.execute(statement("staging/columns"), given).fetchall()


def problems(rules: MaskingRules, columns: Iterable[MaskedColumn]) -> Iterator[str]:
    """Why these columns can't be masked by these rules: one sentence for each."""
    for column in columns:
        if not rules.keeps_rows(column.table_name) or column.table_name == rules.migrations:
            continue
        if not column.needs_a_rule:
            continue
        rule = (rules.of(column.table_name) or {}).get(column.name)
        if rule is None:
            yield f"{column} ({column.type}) has no rule"
        elif (problem := _misfit(rule, column)) is not None:
            yield f"{column}: {problem}"


def _misfit(rule: Rule, column: MaskedColumn) -> str | None:
    if rule.kind == "empty":
        return "it must not be NULL, and its rule empties it" if column.not_null else None
    if rule.kind == "kept" and column.typtype == "e":
        return None
    if column.type not in _FITS.get(rule.kind, _TEXTS):
        return f"the rule {rule.kind} does not fit the type {column.type}"
    if rule.kind == "checked" and not column.is_checked:
        return "no validated CHECK lists the words that it may have: give it another rule"
    longest = _LONGEST.get(rule.kind, len(rule.value))
    if column.length is not None and rule.kind != "text" and longest > column.length:
        return f"{rule.kind} has {longest} characters, and {column.length} are allowed"
    return None


def _rule(where: str, written: object) -> Rule:
    given = {"kind": written} if isinstance(written, str) else written
    if not isinstance(given, dict) or given.get("kind") not in get_args(Kind):
        raise OpsError(
            f"rule of {where}",
            cause=f"{written!r} is no rule",
            next_step="see the list at the top of sql/staging/rules.toml",
        )
    lists = {name: tuple(map(str, given.get(name, ()))) for name in ("keys", "words")}
    return Rule(given["kind"], value=str(given.get("value", "")), **lists)
