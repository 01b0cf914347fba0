"""Gaps, strays, local bounds and pending detaches: put right where that is safe, else named."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_ops.archive.move.preflight import due_months
from ft_ops.errors import OpsError, Refused
from ft_ops.maintenance.tables.freeze import closed_partitions
from ft_ops.months import Month
from ft_ops.partitions import coverage, detached_tables, ensure_months, realign
from ft_ops.partitions.create import is_empty
from ft_ops.partitions.ensure import work_on_months
from ft_ops.pg.catalog import Partition, partitions_of
from ft_ops.pg.connect import Connection, connect
from ft_ops.storage.changes import ESTIMATES, find_changes
from tests.fixtures.postgres import Database
from tests.schema.tenants import Tenant, make_tenant

JANUARY = Month(2024, 1)
SEGMENTS = "content_segments"
STRAY = "content_segments_2024_01"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def tenant(connection: Connection) -> Tenant:
    """A family with three segments in January 2024, one of them tagged, in threads of its own."""
    made = make_tenant(connection)
    for number in (10, 11):
        _insert(connection, made, number)
    return made


@pytest.fixture
def stray(connection: Connection, tenant: Tenant) -> str:
    """January, detached by hand."""
    connection.execute(f"ALTER TABLE content_segments DETACH PARTITION {STRAY}")
    return STRAY


def test_a_gap_is_closed(connection: Connection) -> None:
    connection.execute(f"DROP TABLE {STRAY}")
    assert coverage(connection, SEGMENTS, [JANUARY]).missing == (JANUARY,)
    assert _ensure(connection) == "created"


def test_a_month_that_was_detached_by_hand_is_attached_whole(
    connection: Connection, stray: str
) -> None:
    before = _content(connection)
    (finding,) = coverage(connection, SEGMENTS, [JANUARY]).findings
    assert str(finding).startswith(f"{STRAY}: a table of that name stands alone")
    assert _ensure(connection) == "attached"
    assert _content(connection) == before
    assert coverage(connection, SEGMENTS, [JANUARY]).is_complete
    assert _traces_of_repair(connection) == []
    assert connection.execute("SELECT count(*) FROM content_segments_2024_01").fetchone() == (2,)


def test_what_a_deleted_thread_took_meanwhile_takes_its_keys_and_tags_along(
    connection: Connection, tenant: Tenant, stray: str
) -> None:
    connection.execute("DELETE FROM threads WHERE id = %s", (tenant.thread,))
    assert connection.execute(f"SELECT count(*) FROM {stray}").fetchone() == (0,)
    orphaned = connection.execute("SELECT count(*) FROM content_tags").fetchone()
    assert orphaned == (2,)
    assert _ensure(connection) == "attached"
    assert _content(connection) == []
    assert connection.execute("SELECT count(*) FROM content_segment_keys").fetchone() == (0,)
    act = connection.execute(
        "SELECT new_values FROM audit_log WHERE action = 'partitions.attach'"
    ).fetchone()
    assert act == ({"orphaned_keys_deleted": 2},)


UNKNOWN_ROW = f"""
    INSERT INTO {STRAY} (thread_id, user_id, content_type, sequence_number, created_at)
    SELECT thread_id, user_id, 'text', 99, created_at FROM {STRAY} LIMIT 1
"""
COPY_OF_THE_ARCHIVE = f"""
    CREATE TABLE archived_content_segments_2024_01 PARTITION OF archived_content_segments
        FOR VALUES FROM ('2024-01-01Z') TO ('2024-02-01Z');
    ALTER TABLE archived_content_segments DISABLE TRIGGER register_key;
    INSERT INTO archived_content_segments SELECT * FROM {STRAY} LIMIT 1
"""
OTHER_NUMBERS = f"UPDATE {STRAY} SET sequence_number = sequence_number + 50"
OUTSIDE = f"UPDATE {STRAY} SET created_at = '2024-02-01Z'"
OTHER_TYPE = f"ALTER TABLE {STRAY} ALTER audio_duration_seconds TYPE bigint"
NO_CHECK = f"ALTER TABLE {STRAY} DROP CONSTRAINT content_segments_edited_at_finite"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (UNKNOWN_ROW, "1 of its rows have no key in content_segment_keys, or another one"),
        (OTHER_NUMBERS, "2 of its rows have no key in content_segment_keys, or another one"),
        (OUTSIDE, "some of its rows lie outside 2024-01"),
        (COPY_OF_THE_ARCHIVE, "1 of its rows are in archived_content_segments too"),
        (OTHER_TYPE, "it has a column audio_duration_seconds bigint; it has no column "),
        (NO_CHECK, "it has no constraint content_segments_edited_at_finite CHECK "),
    ],
    ids=["unknown row", "other numbers", "outside", "copy of the archive", "type", "no check"],
)
def test_a_stray_that_is_not_provably_the_month_is_refused_and_left_as_it_was(
    connection: Connection, stray: str, spoil: str, reason: str
) -> None:
    connection.execute(spoil)
    before = connection.execute(f"SELECT xmin::text, * FROM {stray} ORDER BY id").fetchall()
    with pytest.raises(OpsError) as refusal:
        _ensure(connection)
    assert f"is not attached; {reason}" in refusal.value.cause
    assert connection.execute(f"SELECT xmin::text, * FROM {stray} ORDER BY id").fetchall() == before
    assert _traces_of_repair(connection) == []
    assert coverage(connection, SEGMENTS, [JANUARY]).missing == (JANUARY,)


def test_rows_that_lost_their_thread_without_its_cascade_are_refused(
    database: Database, connection: Connection, tenant: Tenant, stray: str
) -> None:
    """As a detach leaves them when the thread is deleted in that very instant."""
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute("SET session_replication_role = replica")
        admin.execute("DELETE FROM threads WHERE id = %s", (tenant.thread,))
    with pytest.raises(OpsError, match="2 of its rows belong to a thread or a user that is gone"):
        _ensure(connection)


def test_an_empty_stray_of_another_shape_is_replaced(connection: Connection) -> None:
    connection.execute(f"DROP TABLE {STRAY}; CREATE TABLE {STRAY} (anything text)")
    assert _ensure(connection) == "replaced"
    assert coverage(connection, SEGMENTS, [JANUARY]).is_complete


def test_a_stray_of_the_audit_log_is_attached_by_its_bounds_alone(connection: Connection) -> None:
    connection.execute(
        "INSERT INTO audit_log (user_id, action, created_at) VALUES (%s, 'old', '2024-01-05Z');",
        (uuid4(),),
    )
    connection.execute("ALTER TABLE audit_log DETACH PARTITION audit_log_2024_01")
    assert _ensure(connection, "audit_log") == "attached"
    acts = connection.execute("SELECT action FROM audit_log ORDER BY created_at").fetchall()
    assert acts == [("old",), ("partitions.attach",)]


def test_a_table_that_the_archive_is_at_work_on_is_left_to_it(
    connection: Connection, stray: str
) -> None:
    connection.execute(
        "INSERT INTO ops.archive (month, generation, state) VALUES ('2024-01-01', 1, 'archiving')"
    )
    assert _ensure(connection) == "left to the archive"
    (finding,) = coverage(connection, SEGMENTS, [JANUARY]).findings
    assert "an archive run detached it and has not ended" in str(finding)
    assert _traces_of_repair(connection) == []


def test_a_repair_that_died_is_finished_by_the_next_one(
    connection: Connection, tenant: Tenant, stray: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile nobody can spoil what it had proven, and a deleted thread is followed."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    other = _other_thread(connection, tenant)
    with monkeypatch.context() as patch:
        patch.setattr(detached_tables, "_delete_orphaned_keys", die)
        with pytest.raises(KeyboardInterrupt):
            _ensure(connection)
    with pytest.raises(psycopg.errors.ObjectInUse, match="is being examined"):
        connection.execute(f"UPDATE {stray} SET view_count = 1")
    connection.execute("DELETE FROM threads WHERE id = %s", (tenant.thread,))
    keys = connection.execute("SELECT thread_id FROM content_segment_keys").fetchall()
    assert keys == []
    connection.execute("DELETE FROM threads WHERE id = %s", (other,))
    assert _ensure(connection) == "attached"
    assert _traces_of_repair(connection) == []


def test_a_chain_of_empty_partitions_in_local_time_is_replaced_whole(
    connection: Connection,
) -> None:
    """What the bounds '2030-01-01' to '2030-02-01' and so on mean in New York."""
    months = [Month(2030, 1), Month(2030, 2), Month(2030, 3)]
    _make_local_chain(connection, months)
    found = coverage(connection, SEGMENTS, months)
    assert (found.missing, len(found.findings)) == (tuple(months), 3)
    assert (
        "FROM ('2030-01-01 05:00:00+00') TO ('2030-02-01 05:00:00+00'), are no month in UTC"
    ) in str(found.findings[0])
    assert "it is empty and is replaced" in str(found.findings[0])
    outcomes = ensure_months(connection, SEGMENTS, months[:1])
    assert [outcome.action for outcome in outcomes] == ["replaced"]
    # The last one reached five hours into April, which is not left without a partition.
    assert coverage(connection, SEGMENTS, [*months, Month(2030, 4)]).is_complete


@pytest.mark.parametrize(
    ("lower", "upper", "is_replaced"),
    [
        ("'2041-01-01Z'", "'2042-01-01Z'", True),
        ("'2041-01-01Z'", "'2042-01-04Z'", False),
        ("'2041-01-01Z'", "'2241-01-01Z'", False),
        ("'2041-01-01Z'", "'9999-12-31Z'", False),
        ("'2041-01-01Z'", "'10000-01-01Z'", False),
        ("'2041-01-01Z'", "'infinity'", False),
        ("'2041-01-01Z'", "MAXVALUE", False),
        ("MINVALUE", "'2001-01-01Z'", False),
        ("'0044-01-01Z BC'", "'0001-01-01Z'", False),
        ("'9995-01-01Z'", "'9995-02-01Z'", False),
        ("'9999-12-01Z'", "'9999-12-31Z'", False),
    ],
)
def test_no_bounds_keep_other_months_from_being_made_or_archived(
    connection: Connection, lower: str, upper: str, *, is_replaced: bool
) -> None:
    connection.execute(
        f"CREATE TABLE odd PARTITION OF {SEGMENTS} FOR VALUES FROM ({lower}) TO ({upper})".encode()
    )
    within, beside = Month(2041, 2), Month(2040, 2)
    (finding,) = coverage(connection, SEGMENTS, []).findings
    assert finding.cause.endswith("are no month in UTC")
    worked = work_on_months(connection, SEGMENTS, [within, beside], sleep=lambda seconds: None)
    actions = {outcome.month: outcome.action for outcome in worked.results}
    assert actions[beside] == "created"
    if is_replaced:
        assert (actions[within], worked.failed) == ("replaced", ())
        assert "is replaced" in finding.next_step
        return
    assert all("odd: its bounds" in str(failed) for failed in worked.failed)
    assert due_months(connection, 7, NOW) == []
    assert {closed.table.name for closed in closed_partitions(connection, now=NOW, still_for=DAY)}
    with suppress(Refused):
        find_changes(connection, ESTIMATES)
    (shown,) = re.findall("hour, (.+; DROP TABLE [^;]+);", finding.next_step)
    connection.execute(shown.encode())
    assert coverage(connection, SEGMENTS, []).findings == ()


def test_a_partition_in_another_schema_is_named_and_no_table_of_its_name_is_touched(
    database: Database, connection: Connection
) -> None:
    with connect(database.admin_url, application="tests") as admin:
        admin.execute("CREATE SCHEMA team AUTHORIZATION ft_ops")
    connection.execute(
        f"CREATE TABLE team.odd PARTITION OF {SEGMENTS}"
        " FOR VALUES FROM ('2041-01-01 05:00Z') TO ('2041-02-01 05:00Z');"
        " CREATE TABLE odd (theirs text)"
    )
    with pytest.raises(OpsError, match=r'"team"."odd": it lies outside of the schema public'):
        ensure_months(connection, SEGMENTS, [Month(2041, 1)])
    (finding,) = coverage(connection, SEGMENTS, []).findings
    connection.execute(finding.next_step.partition("hour: ")[2].replace("public", "ops").encode())
    assert connection.execute("SELECT count(*) FROM odd").fetchone() == (0,)
    assert str(coverage(connection, SEGMENTS, []).findings[0]).startswith('"ops"."odd"')


def test_a_stray_of_several_parents_is_refused_by_itself(connection: Connection) -> None:
    connection.execute(f"DROP TABLE {STRAY}")
    connection.execute(
        f"CREATE TABLE one (a int); CREATE TABLE two (b int); CREATE TABLE {STRAY}"
        " () INHERITS (one, two)".encode()
    )
    with pytest.raises(OpsError, match="it is a partition of one, two"):
        ensure_months(connection, SEGMENTS, [JANUARY])


def test_a_chain_with_a_row_in_it_is_named_and_left(connection: Connection, tenant: Tenant) -> None:
    months = [Month(2030, 1), Month(2030, 2), Month(2030, 3)]
    _make_local_chain(connection, months)
    _insert(connection, tenant, 20, datetime(2030, 2, 10, tzinfo=UTC))
    before = partitions_of(connection, SEGMENTS)
    with pytest.raises(OpsError, match="partitions of content_segments: 3 of") as refusal:
        ensure_months(connection, SEGMENTS, months)
    assert "content_segments_2030_02: its bounds," in refusal.value.cause
    assert "it holds rows: put them into months as docs/partitions.md says" in (
        refusal.value.next_step
    )
    assert [p.name for p in partitions_of(connection, SEGMENTS)] == [p.name for p in before]


def test_a_row_that_comes_in_the_last_moment_keeps_its_partition(
    connection: Connection, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    months = [Month(2030, 1)]
    _make_local_chain(connection, months)
    asked: list[str] = []

    def is_empty_and_then_not(asking: Connection, table: str) -> bool:
        asked.append(table)
        answer = is_empty(asking, table)
        if len(asked) == 1:
            _insert(connection, tenant, 20, datetime(2030, 1, 10, tzinfo=UTC))
        return answer

    monkeypatch.setattr(realign, "is_empty", is_empty_and_then_not)
    with pytest.raises(OpsError, match="it holds rows"):
        ensure_months(connection, SEGMENTS, months)
    assert connection.execute("SELECT count(*) FROM content_segments_2030_01").fetchone() == (1,)
    left = connection.execute("SELECT to_regclass('content_segments_2030_01_utc')").fetchone()
    assert left == (None,)


def test_a_pending_detach_is_named_with_the_way_out(
    database: Database, connection: Connection, tenant: Tenant
) -> None:
    with connect(database.url, application="tests") as reader, reader.transaction():
        reader.execute("SELECT count(*) FROM content_segments")
        connection.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            connection.execute(f"ALTER TABLE {SEGMENTS} DETACH PARTITION {STRAY} CONCURRENTLY")
    with pytest.raises(OpsError, match="its detach is pending") as refusal:
        _ensure(connection)
    (finding,) = coverage(connection, SEGMENTS, [JANUARY]).findings
    assert finding.next_step == refusal.value.next_step
    connection.execute(f"ALTER TABLE {SEGMENTS} DETACH PARTITION {STRAY} FINALIZE")
    assert _ensure(connection) == "attached"


@st.composite
def _layouts(draw: st.DrawFn) -> tuple[list[Partition], set[Partition]]:
    """Partitions without overlaps between 2030 and 2031, at days of choice, some of them empty."""
    start, end = Month(2030, 1).start.timestamp(), Month(2031, 1).start.timestamp()
    hours = draw(st.lists(st.integers(0, int(end - start) // 3600), max_size=24, unique=True))
    firsts = [month.start for month in Month(2030, 1).until(Month(2030, 12))]
    moments = {datetime.fromtimestamp(start + hour * 3600, UTC) for hour in hours}
    moments |= set(draw(st.lists(st.sampled_from(firsts), max_size=12)))
    cuts = sorted(moments)
    partitions, empty = [], set()
    for number, (lower, upper) in enumerate(pairwise(cuts)):
        kind = draw(st.sampled_from(["gap", "rows", "empty", "empty", "detaching"]))
        if kind == "gap":
            continue
        partition = Partition(
            schema="public",
            name=f"p{number}",
            bounds="",
            lower=lower,
            upper=upper,
            is_default=False,
            is_detaching=kind == "detaching",
            estimated_rows=0,
        )
        partitions.append(partition)
        if kind != "rows":
            empty.add(partition)
    return partitions, empty


@given(_layouts())
def test_a_replacement_drops_the_empty_alone_overlaps_nothing_and_leaves_no_hole(
    layout: tuple[list[Partition], set[Partition]],
) -> None:
    partitions, empty = layout
    plan = realign.plan_replacement(partitions, empty)
    kept = [partition for partition in partitions if partition not in plan.drop]
    assert set(plan.drop) <= empty
    assert all(p.month is None and not p.is_detaching for p in plan.drop)
    after = [(p.lower, p.upper) for p in kept] + [(m.start, m.end) for m in plan.create]
    for lower, upper in after:
        assert lower is not None
        assert upper is not None
        overlapping = [o for o in after if o[0] and o[1] and lower < o[1] and o[0] < upper]
        assert overlapping == [(lower, upper)]
    for gone in plan.drop:
        assert gone.lower is not None
        assert gone.upper is not None
        months = [
            m for m in Month.of(gone.lower).until(Month.of(gone.upper)) if m.start < gone.upper
        ]
        assert all((m.start, m.end) in after for m in months)


def _ensure(connection: Connection, parent: str = SEGMENTS) -> str:
    (outcome,) = ensure_months(connection, parent, [JANUARY])
    return outcome.action


def _insert(
    connection: Connection,
    tenant: Tenant,
    number: int,
    moment: datetime = datetime(2024, 1, 15, tzinfo=UTC),
) -> UUID:
    segment = uuid4()
    connection.execute(
        "INSERT INTO content_segments (id, thread_id, user_id, content_type, sequence_number,"
        " created_at) VALUES (%s, %s, %s, 'text', %s, %s)",
        (segment, tenant.thread, tenant.owner, number, moment),
    )
    connection.execute(
        "INSERT INTO content_tags (content_segment_id, tag_name, tagged_by) VALUES (%s, 'x', %s)",
        (segment, tenant.owner),
    )
    return segment


def _other_thread(connection: Connection, tenant: Tenant) -> UUID:
    row = connection.execute(
        "INSERT INTO threads (memory_book_id, started_by) VALUES (%s, %s) RETURNING id",
        (tenant.book, tenant.owner),
    ).fetchone()
    assert row is not None
    return UUID(str(row[0]))


def _make_local_chain(connection: Connection, months: list[Month]) -> None:
    with connection.transaction():
        connection.execute("SET LOCAL TimeZone = 'America/New_York'")
        for month in months:
            connection.execute(
                f"CREATE TABLE content_segments_{month.suffix} PARTITION OF content_segments"
                f" FOR VALUES FROM ('{month.first_day}') TO ('{month.plus(1).first_day}')"
            )


def _content(connection: Connection) -> list[tuple[object, ...]]:
    """Each January key with the tags that hang on it."""
    return connection.execute(
        "SELECT k.*, t.tag_name FROM content_segment_keys k"
        " LEFT JOIN content_tags t ON t.content_segment_id = k.id"
        " WHERE k.created_at < '2024-02-01Z' AND k.created_at >= '2024-01-01Z' ORDER BY k.id"
    ).fetchall()


def _traces_of_repair(connection: Connection) -> list[tuple[str]]:
    return connection.execute(
        "SELECT tgname::text FROM pg_trigger WHERE tgname LIKE 'repair%' UNION ALL"
        " SELECT conname FROM pg_constraint WHERE conname LIKE 'repair%'"
    ).fetchall()
