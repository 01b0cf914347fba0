"""What a setting may be, in words: for its page, and for the error about another value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo

from ft_ops.months import Month

_NOUNS: dict[object, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Month: "a month",
    Path: "a path",
    frozenset: "names, comma separated",
    Mapping: "names with numbers, comma separated",
}


def accepted(field: FieldInfo) -> str:
    """Its kind, its bounds, and an example where the kind alone doesn't say the form."""
    kind = _kind(field.annotation)
    if get_origin(kind) is Literal:
        *others, last = get_args(kind)
        return f"{', '.join(others)} or {last}"
    noun = _NOUNS.get(get_origin(kind) or kind, "text")
    example = f", such as {field.examples[0]}" if field.examples else ""
    return noun + _bounds(field) + example


def _kind(annotation: object) -> object:
    """The type itself: neither optional nor annotated."""
    if get_origin(annotation) in {Union, UnionType}:
        (annotation,) = (kind for kind in get_args(annotation) if kind is not type(None))
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _bounds(field: FieldInfo) -> str:
    least = most = ""
    for limit in field.metadata:
        match limit:
            case annotated_types.Ge(ge=bound):
                least = f" from {bound}"
            case annotated_types.Gt(gt=bound):
                least = f" above {bound}"
            case annotated_types.Le(le=bound):
                most = f" to {bound}"
    return least + most
