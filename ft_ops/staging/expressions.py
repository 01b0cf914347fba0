"""What masking makes of a column, as an expression of SQL: by the column's rule and its type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from psycopg import sql

from ft_ops.staging.rules import MaskedColumn, Rule

_DIGITS: Final = 24
_SHORT: Final = 12

_LEVELS: Final = 3
"""Of JSON, masked by the statement itself: as deep as the application's. Each doubles its text."""

_LEVEL: Final = """CASE jsonb_typeof({value})
    WHEN 'object' THEN coalesce((
        SELECT jsonb_object_agg(
            CASE
                WHEN {part}.key = ANY ({kept}) THEN {part}.key
                ELSE 'k' || left(pg_temp.ft_digest('key', {part}.key, %(inner)s, %(outer)s), 24)
            END,
            {member}
        )
        FROM jsonb_each({value}) AS {part}
    ), '{{}}')
    WHEN 'array' THEN coalesce((
        SELECT jsonb_agg({element} ORDER BY {part}.place)
        FROM jsonb_array_elements({value}) WITH ORDINALITY AS {part} (element, place)
    ), '[]')
    ELSE pg_temp.ft_json_leaf({value}, %(inner)s, %(outer)s)
END"""

_BELOW: Final = """CASE
    WHEN jsonb_typeof({value}) IN ('object', 'array')
    THEN pg_temp.ft_json({value}, {kept}, %(inner)s, %(outer)s)
    ELSE pg_temp.ft_json_leaf({value}, %(inner)s, %(outer)s)
END"""


def masked_value(column: MaskedColumn, rule: Rule) -> sql.Composable:
    """What an UPDATE of ``c`` makes of a column. ``inner`` and ``outer`` are its keys."""
    value = sql.Identifier("c", column.name)
    if rule.kind == "empty":
        return sql.SQL("NULL")
    if not column.is_array:
        return _expression(rule, column, value)
    # An empty array stays one: it has no dimensions, and array_agg would make it NULL.
    return sql.SQL(
        "CASE WHEN cardinality({value}) = 0 THEN {value} ELSE (SELECT array_agg({masked} ORDER BY"
        " e.n) FROM unnest({value}) WITH ORDINALITY AS e (v, n)) END"
    ).format(value=value, masked=_expression(rule, column, sql.SQL("e.v")))


def _expression(rule: Rule, column: MaskedColumn, value: sql.Composable) -> sql.Composable:
    if rule.kind == "json":
        document = sql.SQL("{}::jsonb").format(value)
        return sql.SQL("({})::{}").format(
            _json(document, sql.Literal(list(rule.keys)), _LEVELS), sql.Identifier(column.type)
        )
    if rule.kind == "text":
        return sql.SQL("pg_temp.ft_filler({}::text, %(inner)s, %(outer)s)").format(value)
    if rule.kind == "constant":
        return sql.SQL("CASE WHEN {} IS NOT NULL THEN {} END").format(
            value, sql.Literal(rule.value)
        )
    if rule.kind == "address":
        digest = _digest("address", value, 2)
        return sql.SQL("('192.0.2.' || ('x' || {})::bit(8)::integer)::inet").format(digest)
    if rule.kind == "vocabulary":
        length = column.length
        digits = _DIGITS if length is None else min(_DIGITS, length)
        return sql.SQL("CASE WHEN {} = ANY ({}) THEN {} ELSE {} END").format(
            value, sql.Literal(list(rule.words)), value, _digest("word", value, digits)
        )
    before, digits, after = _FORMS[rule.kind]
    return sql.SQL("{} || {} || {}").format(
        sql.Literal(before), _digest(rule.kind, value, digits), sql.Literal(after)
    )


_FORMS: Final[Mapping[str, tuple[str, int, str]]] = {
    "word": ("m", _DIGITS, ""),
    "name": ("Name ", _SHORT, ""),
    "email": ("", _DIGITS, "@example.invalid"),
    "url": ("https://masked.invalid/", _DIGITS, ""),
}


def _json(value: sql.Composable, kept: sql.Composable, levels: int) -> sql.Composable:
    """JSON masked by as many levels of subqueries as given, and what is below them by calls."""
    if not levels:
        return sql.SQL(_BELOW).format(value=value, kept=kept)
    part = sql.Identifier(f"part_{levels}")
    member, element = (
        _json(sql.SQL("{}.{}").format(part, sql.Identifier(name)), kept, levels - 1)
        for name in ("value", "element")
    )
    return sql.SQL(_LEVEL).format(value=value, kept=kept, part=part, member=member, element=element)


def _digest(kind: str, value: sql.Composable, digits: int) -> sql.Composable:
    return sql.SQL("left(pg_temp.ft_digest({}, {}::text, %(inner)s, %(outer)s), {})").format(
        sql.Literal(kind), value, sql.Literal(digits)
    )
