"""Statements by which other engines read an archive: tables for Athena, views for DuckDB."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias
from urllib.parse import quote

from ft_ops.archive.month.content import Column, Content, Table

Engine: TypeAlias = Literal["athena", "duckdb"]

_ATHENA: Final[Mapping[str, str]] = {
    "uuid": "binary",
    "bytea": "binary",
    "smallint": "int",
    "integer": "int",
    "bigint": "bigint",
    "boolean": "boolean",
    "real": "float",
    "double precision": "double",
    "date": "date",
}
"""What Parquet holds of a type; every type that is not here is text or a moment."""


def statements_for(engine: Engine, content: Content, location: str) -> list[str]:
    """One statement a table. ``location`` is the archive's folder, such as s3://bucket/archive."""
    make = _athena if engine == "athena" else _duckdb
    return [
        make(table, f"{location.rstrip('/')}/table={quote(table.name, safe='')}/")
        for table in content
    ]


def _athena(table: Table, folder: str) -> str:
    columns = [f"    `{column.name}` {_athena_type(column)}" for column in table.stored]
    columns.append(f"    `{table.family_column}` binary")
    return (
        f"CREATE EXTERNAL TABLE `{table.relname}` (\n"
        + ",\n".join(columns)
        + "\n)\nPARTITIONED BY (year int, month int, gen int)\nSTORED AS PARQUET\n"
        f"LOCATION '{folder}'\n"
        # Without it Athena passes over what was restored from Glacier, and says nothing.
        "TBLPROPERTIES ('read_restored_glacier_objects' = 'true');\n"
        f"MSCK REPAIR TABLE `{table.relname}`;"
    )


def _athena_type(column: Column) -> str:
    if column.as_text:
        return "string"
    element = column.type.removesuffix("[]")
    found = _ATHENA.get(element, "timestamp" if element.startswith("timestamp") else "string")
    return f"array<{found}>" if element != column.type else found


def _duckdb(table: Table, folder: str) -> str:
    columns = [
        f'    "{column.name}"::JSON AS "{column.name}"'
        if column.type in {"json", "jsonb"} and not column.as_text
        else f'    "{column.name}"'
        for column in table.stored
    ]
    columns += [f'    "{table.family_column}"', "    year", "    month", "    gen"]
    # By name: an archive of an earlier day has the columns of that day.
    return (
        f'CREATE VIEW "{table.relname}" AS\nSELECT\n'
        + ",\n".join(columns)
        + f"\nFROM read_parquet('{folder}**/*.parquet', hive_partitioning = true,"
        " union_by_name = true);"
    )
