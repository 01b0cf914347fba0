"""Metadata as people look at it in the UI."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import dagster as dg


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str | int | float | bool | None]]
) -> dg.MetadataValue:
    """Rows as a metadata table; it may have none."""
    return dg.MetadataValue.table(
        [
            dg.TableRecord({name: "" if cell is None else cell for name, cell in zipped})
            for zipped in (zip(columns, row, strict=True) for row in rows)
        ],
        schema=dg.TableSchema([dg.TableColumn(name) for name in columns]),
    )
