"""Migrations that may come while months are in the archive, and what becomes of rows by each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg

from tests.model.application import Application
from tests.model.oracle import SEGMENTS, Child, Values
from tests.model.place import PARENTS


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """Statements; {segments} stands for each of the two parents in turn."""

    statements: Sequence[str]
    table: str | None = None
    change: Callable[[Values], Values] = dict
    note: Callable[[Application], None] = lambda application: None

    def apply(self, connection: psycopg.Connection, application: Application) -> None:
        """In one transaction, as a migration is; a psycopg.Error when it can't be had now."""
        with connection.transaction():
            for statement in self.statements:
                for parent in PARENTS if "{segments}" in statement else ("",):
                    connection.execute(statement.format(segments=parent).encode())
        if self.table is not None:
            application.oracle.change_schema(self.table, self.change)
        self.note(application)


def _with(name: str, value: bytes | None) -> Callable[[Values], Values]:
    return lambda row: {**row, name: value}


def _without(name: str) -> Callable[[Values], Values]:
    return lambda row: {column: value for column, value in row.items() if column != name}


def _renamed(before: str, after: str) -> Callable[[Values], Values]:
    return lambda row: {after if name == before else name: value for name, value in row.items()}


def _measured(row: Values) -> Values:
    text = row["text_content"]
    return {**row, "text_length": None if text is None else str(len(text.decode())).encode()}


def _table(name: str, parent: str, column: str, references: str) -> SchemaChange:
    def note(application: Application) -> None:
        application.oracle.children[name] = Child(parent, (column,), None)
        application.reaction_tables.append(name)

    return SchemaChange(
        [
            f"CREATE TABLE {name} (id uuid PRIMARY KEY, {column} uuid NOT NULL, said text)",
            f"ALTER TABLE {name} ADD FOREIGN KEY ({column})"
            + f" REFERENCES {references} (id) ON DELETE CASCADE",
            f"CREATE INDEX ON {name} ({column})",
        ],
        note=note,
    )


def _transcript(name: str | None) -> Callable[[Application], None]:
    def note(application: Application) -> None:
        application.transcript = name

    return note


def _required(name: str, value: str) -> Callable[[Application], None]:
    def note(application: Application) -> None:
        application.required[name] = value

    return note


CHANGES: Final[Mapping[str, SchemaChange]] = {
    "nullable column": SchemaChange(
        ["ALTER TABLE {segments} ADD COLUMN mood text"], SEGMENTS, _with("mood", None)
    ),
    "column with a default": SchemaChange(
        ["ALTER TABLE {segments} ADD COLUMN stars integer NOT NULL DEFAULT 3"],
        SEGMENTS,
        _with("stars", b"3"),
    ),
    "column of a child": SchemaChange(
        ["ALTER TABLE content_tags ADD COLUMN weight numeric(10, 4) NOT NULL DEFAULT 1.5"],
        "content_tags",
        _with("weight", b"1.5000"),
    ),
    "wider type": SchemaChange(
        ["ALTER TABLE {segments} ALTER COLUMN content_type TYPE varchar(80)"], SEGMENTS
    ),
    "another type": SchemaChange(
        ["ALTER TABLE {segments} ALTER COLUMN reaction_count TYPE bigint"], SEGMENTS
    ),
    "generated column": SchemaChange(
        [
            "ALTER TABLE {segments} ADD COLUMN text_length integer"
            + " GENERATED ALWAYS AS (length(text_content)) STORED"
        ],
        SEGMENTS,
        _measured,
    ),
    "renamed column": SchemaChange(
        [
            "ALTER TABLE {segments} RENAME COLUMN audio_transcript TO transcript",
            "INSERT INTO ops.column_changes (table_name, column_name, change, new_name)"
            + " VALUES ('content_segments', 'audio_transcript', 'renamed', 'transcript')",
        ],
        SEGMENTS,
        _renamed("audio_transcript", "transcript"),
        _transcript("transcript"),
    ),
    "dropped column": SchemaChange(
        ["ALTER TABLE {segments} DROP COLUMN audio_duration_seconds"],
        SEGMENTS,
        _without("audio_duration_seconds"),
    ),
    "required column": SchemaChange(
        [
            "ALTER TABLE {segments} ADD COLUMN locale text NOT NULL DEFAULT 'da'",
            "ALTER TABLE {segments} ALTER COLUMN locale DROP DEFAULT",
            "INSERT INTO ops.column_changes (table_name, column_name, change, value)"
            + " VALUES ('content_segments', 'locale', 'value', $$'da'$$)",
        ],
        SEGMENTS,
        _with("locale", b"da"),
        _required("locale", "da"),
    ),
    "tighter check": SchemaChange(
        ["ALTER TABLE {segments} ADD CONSTRAINT few_views CHECK (view_count < 1000)"]
    ),
    "check of new rows": SchemaChange(
        [
            "ALTER TABLE {segments} ADD CONSTRAINT one_line"
            + " CHECK (text_content NOT LIKE '%' || chr(10) || '%') NOT VALID"
        ]
    ),
    "child table": _table(
        "content_reactions", SEGMENTS, "content_segment_id", "content_segment_keys"
    ),
    "grandchild table": _table(
        "narration_votes", "photo_narrations", "narration_id", "photo_narrations"
    ),
}

DECLARATIONS: Final[Mapping[str, str]] = {
    "dropped column": "INSERT INTO ops.column_changes (table_name, column_name, change)"
    + " VALUES ('content_segments', 'audio_duration_seconds', 'dropped') ON CONFLICT DO NOTHING",
}
"""What a person is asked to declare when another column came as well: it might be a new name."""
