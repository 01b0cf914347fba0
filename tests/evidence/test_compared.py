"""The audit log against the chain: what either tells of and the other lacks is named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ft_ops.evidence import acts_since
from ft_ops.evidence.acts import to_entry
from ft_ops.evidence.compared import LATE, ChainComparison, compare
from ft_ops.months import Month
from ft_ops.partitions import ensure_months
from ft_ops.pg.audit import SYSTEM_USER
from ft_ops.pg.connect import Connection

NOW = datetime(2025, 3, 20, 6, 0, tzinfo=UTC)
SINCE = NOW - timedelta(days=60)
MONTHS = (Month(2025, 1), Month(2025, 2), Month(2025, 3))


def act(connection: Connection, at: datetime, values: str = '{"flag": true, "n": 1.10}') -> None:
    connection.execute(
        "INSERT INTO audit_log (user_id, action, table_name, new_values, created_at)"
        " VALUES (%s, 'test.act', 'tests', %s, %s)",
        (SYSTEM_USER, values, at),
    )


@pytest.fixture
def entries(connection: Connection) -> list[dict[str, object]]:
    """Three acts that are chained: one of February, two of March."""
    ensure_months(connection, "audit_log", MONTHS)
    for at in (datetime(2025, 2, 10, tzinfo=UTC), NOW - LATE, NOW - timedelta(hours=1)):
        act(connection, at)
    return [to_entry(found) for found in acts_since(connection, SINCE)]


def compared(connection: Connection, entries: list[dict[str, object]]) -> ChainComparison:
    return compare(connection, entries, SINCE, NOW)


def test_a_log_and_its_chain_agree(
    connection: Connection, entries: list[dict[str, object]]
) -> None:
    found = compared(connection, entries)
    assert found.agrees
    assert (found.compared, found.archived) == (3, 0)
    # What a former release has rounded is the same act.
    act(connection, NOW, '{"n": 12345678901234567890.5}')
    rounded = {**to_entry(acts_since(connection, NOW)[0]), "details": {"n": 12345678901234567890.5}}
    assert compared(connection, [*entries, rounded]).agrees


@pytest.mark.parametrize(
    ("change", "gone", "changed"),
    [
        ("DELETE FROM audit_log WHERE created_at < '2025-03-01'", 1, 0),
        ("UPDATE audit_log SET action = 'other' WHERE created_at < '2025-03-01'", 0, 1),
        ("UPDATE audit_log SET action = 'evidence.head' WHERE created_at < '2025-03-01'", 0, 1),
        (
            (
                "WITH other AS (INSERT INTO users (clerk_id, email, display_name)"
                " VALUES ('a', 'a@b.c', 'a') RETURNING id)"
                " UPDATE audit_log SET user_id = other.id FROM other"
                " WHERE created_at < '2025-03-01'"
            ),
            0,
            1,
        ),
        ("""UPDATE audit_log SET new_values = '{"flag": 1, "n": 1.10}'""", 0, 3),
        ("UPDATE audit_log SET table_name = NULL WHERE created_at < '2025-03-01'", 0, 1),
        (
            (
                "UPDATE audit_log SET created_at = created_at + interval '1 microsecond'"
                " WHERE created_at < '2025-03-01'"
            ),
            0,
            1,
        ),
    ],
)
def test_a_row_that_is_gone_or_changed_is_named(
    connection: Connection,
    entries: list[dict[str, object]],
    change: str,
    gone: int,
    changed: int,
) -> None:
    connection.execute(change)
    found = compared(connection, entries)
    assert (len(found.gone), len(found.changed)) == (gone, changed)
    assert not found.agrees
    assert str(entries[0]["id"]) in "".join([*found.gone, *found.changed])


def test_an_act_in_no_link_is_missed_after_two_runs_and_not_before(
    connection: Connection, entries: list[dict[str, object]]
) -> None:
    assert compared(connection, entries[:1]).agrees, "two days old, to the second"
    act(connection, NOW - LATE - timedelta(microseconds=1))
    assert len(compared(connection, entries).unchained) == 1


def test_what_was_archived_with_its_month_counts_as_there_and_older_than_retention_too(
    connection: Connection, entries: list[dict[str, object]]
) -> None:
    connection.execute("DELETE FROM audit_log WHERE created_at < '2025-03-01'")
    assert compare(connection, entries, datetime(2025, 2, 10, 0, 0, 1, tzinfo=UTC), NOW).agrees
    connection.execute(
        "INSERT INTO ops.audit_archive (month, generation, state, run_id, proven_at)"
        " VALUES ('2025-02-01', 1, 'purged', 'tests', now())"
    )
    found = compared(connection, entries)
    assert found.agrees
    assert found.archived == 1
    # Of another month nothing is archived.
    connection.execute("DELETE FROM audit_log WHERE created_at > '2025-03-19'")
    assert len(compared(connection, entries).gone) == 1
