"""Whose a row is: the family to which its references lead, in the copy and in the live database.

Nothing but these says who may read a row. A book or a thread that was moved since the copy has
taken its content to another family; an old row that is put into it is shown to that family.
"""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from ft_ops.restore.read.graph import FAMILIES, USERS, Catalog, Way
from ft_ops.restore.read.sides import Side


def ways_of(catalog: Catalog, table: str) -> tuple[Way, ...]:
    """Every way from a table to families, but over users, who are no family's."""
    return tuple(_ways(catalog, table, frozenset({table})))


def _ways(catalog: Catalog, table: str, seen: frozenset[str]) -> Iterator[Way]:
    for key in catalog.foreign_keys:
        if key.child != table or key.parent in seen or key.parent == USERS:
            continue
        if key.parent == FAMILIES:
            yield (key,)
        else:
            for rest in _ways(catalog, key.parent, seen | {key.parent}):
                yield (key, *rest)


def others_now(live: Side, way: Way, number: int, exists: sql.Composable) -> sql.Composable:
    """A condition: a copied row ``c`` leads to another family now than it did in the copy.

    ``number``: which of the row's families is this way's, from 1 on. ``exists`` is a query, open
    for more conditions, for the live row ``l`` that would be overwritten. One that refers to
    nothing by this way any more is nobody's by it; one that did not in the copy may lead to the
    family that another way led to.
    """
    was = sql.SQL("c.ft_families[{}]").format(sql.Literal(number))
    family = live.family_of(way, "l")
    moved = sql.SQL(
        "c.ft_state = 'changed' AND EXISTS ({exists} AND CASE WHEN {was} IS NULL"
        " THEN {family} IS NOT NULL AND array_position(c.ft_families, {family}) IS NULL"
        " ELSE {family} <> {was} END)"
    ).format(exists=exists, was=was, family=family)
    if len(way) == 1:
        # It names its family itself.
        return moved
    now = live.family_of(way, "c")
    return sql.SQL("({now} IS NOT NULL AND {now} IS DISTINCT FROM {was} OR {moved})").format(
        now=now, was=was, moved=moved
    )
