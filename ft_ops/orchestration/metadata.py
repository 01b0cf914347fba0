"""Metadata as people look at it in the UI."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import dagster as dg

from ft_ops.format import human_bytes, human_duration

Cell = str | int | float | bool | None


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> dg.MetadataValue:
    """Rows as a metadata table; it may have none.

    Numbers under ``bytes`` and ``seconds`` are shown with their unit, as people read them.
    """
    return dg.MetadataValue.table(
        [
            dg.TableRecord({name: _shown(name, cell) for name, cell in zipped})
            for zipped in (zip(columns, row, strict=True) for row in rows)
        ],
        schema=dg.TableSchema([dg.TableColumn(name) for name in columns]),
    )


def _shown(column: str, cell: Cell) -> str | int | float | bool:
    if cell is None:
        return ""
    if not isinstance(cell, str | bool):
        if "bytes" in column.split():
            return human_bytes(cell)
        if "seconds" in column.split():
            return human_duration(cell)
    return cell
