"""Masks a copy in place, column by column, by its rules: on its own server, as its superuser."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from psycopg import sql
from psycopg.rows import dict_row

from ft_ops.errors import Refused
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.schema import load_migrations
from ft_ops.staging.expressions import masked_value
from ft_ops.staging.roles import forget_roles
from ft_ops.staging.rules import (
    LISTED_WORDS,
    STAYS,
    MaskedColumn,
    MaskingRules,
    Rule,
    problems,
    read_columns,
)

_AUDIT_LOG: Final = "public.audit_log."
_LEAST_CHARACTERS: Final = 8
_ID_OR_TIME: Final = re.compile(
    r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?( ?Z|[+-]\d\d(:?\d\d)?)?)?"
)


@dataclass(frozen=True, slots=True)
class Keys:
    """What the salt becomes in a digest: without it, nobody can try what a value may have been."""

    inner: bytes
    outer: bytes

    @classmethod
    def of(cls, salt: bytes) -> Keys:
        return cls(
            hashlib.sha256(b"inner" + salt).digest(), hashlib.sha256(b"outer" + salt).digest()
        )


@dataclass(frozen=True, slots=True)
class Masked:
    """A table, how many rows of it were masked, and in which columns."""

    table: str
    rows: int
    columns: tuple[str, ...]


def refuse_unruled(connection: Connection, rules: MaskingRules) -> list[MaskedColumn]:
    """Every column of the copy; Refused where the rules don't say what becomes of one."""
    columns = read_columns(connection, rules.schemas)
    found = list(problems(rules, columns))
    if found:
        raise Refused(
            "a masked copy",
            cause="; ".join(found),
            next_step="write a rule for each into sql/staging/rules.toml",
        )
    return columns


def personal_texts(
    connection: Connection, rules: MaskingRules, columns: Sequence[MaskedColumn]
) -> dict[str, str]:
    """Some of what must not be in the dump, each with its column: to be looked for there.

    They are long enough to be no accident. What is an id or a time is found in any dump: these
    stay, and JSON names them as texts.
    """
    found: dict[str, str] = {}
    for column, rule in _ruled(rules, columns):
        if rule.kind in STAYS or rule.kind == "constant":
            continue
        name = "staging/texts_of_json" if rule.kind == "json" else "staging/texts_of"
        identifier = sql.Identifier(column.name)
        value = sql.SQL("unnest(c.{})::text" if column.is_array else "c.{}::text")
        query = statement(name).format(
            column=identifier, table=_identifier(column.table_name), value=value.format(identifier)
        )
        for (text,) in connection.execute(query):
            # One that stands in the audit log, too, is the other column's.
            is_new = text not in found or found[text].startswith(_AUDIT_LOG)
            if is_new and text and _can_be_found(text):
                found[text] = str(column)
    return found


def texts_of_rows(
    connection: Connection, rules: MaskingRules, texts: Mapping[str, str]
) -> dict[str, str]:
    """Those that no row of the dump may have: without words that rows keep by design."""
    stays = "\n".join(_words_that_stay(connection, rules))
    return {
        text: column
        for text, column in texts.items()
        if text not in stays and _is_written_as_it_is(text)
    }


def texts_of_definitions(
    connection: Connection, rules: MaskingRules, texts: Mapping[str, str]
) -> list[str]:
    """Those that no definition may quote: without names of tables and columns out of the audit log.

    It names them by design, those that somebody has added too.
    """
    query = statement("staging/names_of_tables")
    names = {name for (name,) in connection.execute(query, {"schemas": list(rules.schemas)})}
    return [
        text
        for text, column in texts.items()
        if not (text in names and column.startswith(_AUDIT_LOG))
    ]


def _words_that_stay(connection: Connection, rules: MaskingRules) -> Iterator[str]:
    """Texts that rows keep by design: somebody may have written one of them elsewhere, too."""
    query = statement("staging/words_that_stay")
    given = {"schemas": list(rules.schemas), "listed": LISTED_WORDS}
    for (words,) in connection.execute(query, given):
        yield words
    for columns in rules.tables.values():
        for rule in columns.values():
            yield from (*rule.words, *rule.keys)
    for migration in load_migrations():
        yield migration.description


def tables_of_extensions(connection: Connection, rules: MaskingRules) -> list[tuple[str, str]]:
    """Tables that no rule is about, and that a dump has rows of for an extension's sake."""
    query = statement("staging/tables_of_extensions")
    return connection.execute(query, {"schemas": list(rules.schemas)}).fetchall()


def mask(
    connection: Connection,
    rules: MaskingRules,
    columns: Sequence[MaskedColumn],
    keys: Keys,
    log: Callable[[str], None],
) -> list[Masked]:
    """Mask every ruled column, and empty the tables that a dump has no rows of.

    ``connection`` is the superuser's of a copy that nobody else uses. Afterwards nothing may be
    looked up in the copy by an index that is not unique: it lacks the masked rows. A dump reads the
    tables as they lie.
    """
    connection.execute("SET session_replication_role = replica")
    connection.execute("SET statement_timeout = 0")
    for name in ("create_digest", "create_filler", "create_json_leaf", "create_json"):
        connection.execute(statement(f"staging/{name}"))
    by_table: dict[str, list[tuple[MaskedColumn, Rule]]] = {}
    for column, rule in _ruled(rules, columns):
        by_table.setdefault(column.table_name, []).append((column, rule))
    masked = []
    with _without_upkeep(connection, rules):
        for table, ruled in by_table.items():
            changed = [(column, rule) for column, rule in ruled if rule.kind not in STAYS]
            if changed:
                rows = _update(connection, table, changed, keys)
                masked.append(Masked(table, rows, tuple(column.name for column, _ in changed)))
                log(f"{table}: {rows:,} rows masked")
    _write_migrations(connection, rules)
    forget_roles(connection, keys.outer + keys.inner)
    _empty(connection, rules)
    return masked


@contextmanager
def _without_upkeep(connection: Connection, rules: MaskingRules) -> Iterator[None]:
    """A transaction for the block, in which a changed row changes nothing else.

    Triggers would note the changes where the dump has no rows, or refuse them because of a hold.
    Indexes that are not unique are looked up by nobody in the copy. Their definitions stay.
    """
    with connection.transaction():
        with connection.cursor(row_factory=dict_row) as cursor:
            given = {"schemas": list(rules.schemas)}
            stopped = cursor.execute(statement("staging/stop_upkeep"), given).fetchone()
        yield
        connection.execute(statement("staging/resume_triggers"), stopped)
        connection.execute(statement("staging/resume_indexes"), stopped)


def _ruled(
    rules: MaskingRules, columns: Sequence[MaskedColumn]
) -> Iterator[tuple[MaskedColumn, Rule]]:
    for column in columns:
        rule = (rules.of(column.table_name) or {}).get(column.name)
        if rule is not None and column.needs_a_rule:
            yield column, rule


def _empty(connection: Connection, rules: MaskingRules) -> None:
    query = statement("staging/tables_of")
    tables = connection.execute(query, {"schemas": list(rules.schemas_without_rows)}).fetchall()
    emptied = [pair for pair in tables if not rules.keeps_rows(".".join(pair))]
    if emptied:
        listed = sql.SQL(", ").join(sql.Identifier(schema, name) for schema, name in emptied)
        connection.execute(sql.SQL("TRUNCATE {}").format(listed))


def _update(
    connection: Connection, table: str, ruled: Sequence[tuple[MaskedColumn, Rule]], keys: Keys
) -> int:
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(column.name), masked_value(column, rule))
        for column, rule in ruled
    )
    query = sql.SQL("UPDATE {} AS c SET {}").format(_identifier(table), assignments)
    return connection.execute(query, {"inner": keys.inner, "outer": keys.outer}).rowcount


def _write_migrations(connection: Connection, rules: MaskingRules) -> None:
    """Nothing of the ledger's own text or bytes stays."""
    table = _identifier(rules.migrations)
    known = {migration.version: migration for migration in load_migrations()}
    connection.execute(
        sql.SQL("DELETE FROM {} WHERE version <> ALL (%s)").format(table), (list(known),)
    )
    for migration in known.values():
        connection.execute(
            sql.SQL("UPDATE {} SET description = %s, checksum = %s WHERE version = %s").format(
                table
            ),
            (migration.description, migration.checksum, migration.version),
        )


def _can_be_found(text: str) -> bool:
    return len(text) >= _LEAST_CHARACTERS and not _ID_OR_TIME.fullmatch(text)


def _is_written_as_it_is(text: str) -> bool:
    return text.isprintable() and "\\" not in text


def _identifier(table: str) -> sql.Identifier:
    return sql.Identifier(*table.split(".", 1))
