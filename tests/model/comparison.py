"""Compares what can be read, and by whom, with what the oracle says."""

from __future__ import annotations

from collections.abc import Collection

from tests.model.oracle import SEGMENTS, Key, Oracle, Values
from tests.model.place import Place, Readable
from tests.model.writer import Finding

_NONE = b"(no such column)"


def compare(
    place: Place, oracle: Oracle, readable: Readable, without_policies: Collection[str]
) -> None:
    """A Finding when a row is there twice, should not be there, is another, or is missing, or when
    somebody sees more or less of them than what belongs to his families."""
    if readable.twice:
        raise Finding(f"twice: {readable.twice[:3]}")
    for key, values in readable.rows.items():
        _compare_row(oracle, key, values, readable.where[key])
    missing = [key for key in oracle.must_be_readable() if key not in readable.rows]
    if missing:
        raise Finding(f"{len(missing)} rows can't be read, such as {missing[0]}")
    # The application's role reads what has policies.
    children = [child for child in oracle.children if child not in without_policies]
    shown = [key for key in readable.rows if key[0] in (SEGMENTS, *children)]
    for user in sorted(oracle.users):
        seen = place.readable_by(user, children)
        may = oracle.may_be_read_by(user, shown)
        if seen != may:
            raise Finding(
                f"user {user} sees {sorted(seen - may)[:3]} too many, misses"
                f" {sorted(may - seen)[:3]}"
            )


def _compare_row(oracle: Oracle, key: Key, values: Values, where: str) -> None:
    if key not in oracle.rows:
        kind = "revived" if values in oracle.gone.get(key, []) else "unknown"
        raise Finding(f"{kind}: {key} in {where}: {values}")
    expected = oracle.rows[key]
    if values != expected:
        pairs = {
            name: (expected.get(name, _NONE), values.get(name, _NONE))
            for name in sorted({*values, *expected})
        }
        different = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
        raise Finding(f"changed: {key} in {where}, (expected, found): {different}")
