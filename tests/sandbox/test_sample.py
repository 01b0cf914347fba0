"""A sample looks like a product's data, is known from its seed, and touches nobody's rows."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from psycopg import sql

from ft_ops.errors import OpsError, Refused
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.sandbox.sample import SampleReport, make_sample
from tests.fixtures.postgres import Database, filled

JANUARY, MARCH = Month(2024, 1), Month(2024, 3)
TABLES = (
    "users",
    "families",
    "family_members",
    "family_invites",
    "memory_books",
    "threads",
    "content_segments",
    "content_segment_keys",
    "photo_narrations",
    "content_tags",
    "content_links",
    "audit_log",
)
COUNT = "SELECT count(*) FROM "
ODDITIES = (
    "content_segments WHERE content_type = 'text' AND photo_urls IS NULL",
    "content_segments WHERE content_type = 'audio' AND audio_transcript IS NULL",
    "content_segments WHERE content_type = 'photo' AND cardinality(photo_urls) = 5",
    "content_segments WHERE content_type = 'mixed' AND audio_url <> '' AND photo_urls <> '{}'",
    "content_segments WHERE photo_urls = '{}'",
    "content_segments WHERE text_content = ''",
    "content_segments WHERE text_content IS NULL AND content_type = 'text'",
    "content_segments WHERE octet_length(text_content) > 8000",
    "content_segments WHERE is_deleted AND deleted_at > created_at",
    "content_segments WHERE is_deleted IS NULL",
    "content_segments WHERE is_edited AND edited_at > created_at",
    "content_segments WHERE view_count IS NULL",
    "content_segments WHERE view_count > 100",
    "content_segments WHERE metadata IS NULL",
    r"content_segments WHERE text_content ~ '\U0001F468\u200D'",
    r"content_segments WHERE text_content ~ '[\u0590-\u06FF]'",
    r"content_segments WHERE text_content ~ 'e\u0301'",
    r"content_segments WHERE text_content ~ E'\r\n\t'",
    "photo_narrations WHERE confidence_score IS NULL AND created_by IS NOT NULL",
    "content_tags WHERE tag_name = 'عائلة'",
    "memory_books WHERE privacy IS NULL",
    "memory_books AS mb WHERE NOT EXISTS (SELECT FROM threads WHERE memory_book_id = mb.id)",
    "threads AS t WHERE NOT EXISTS (SELECT FROM content_segments WHERE thread_id = t.id)",
    "users WHERE last_login_at IS NULL",
    "family_invites WHERE accepted_by IS NOT NULL",
    "audit_log WHERE family(ip_address) = 6",
)


def sample(
    connection: Connection,
    *,
    families: int = 7,
    first: Month = JANUARY,
    last: Month = MARCH,
    segments: int = 700,
    seed: int = 1,
    until: datetime | None = None,
) -> SampleReport:
    return make_sample(
        connection,
        families=families,
        first=first,
        last=last,
        segments_per_month=segments,
        seed=seed,
        progress=lambda line: None,
        until=until,
    )


@pytest.fixture(scope="module")
def sampled_template(template: Database, worker_id: str) -> Iterator[Database]:
    with filled(template, f"ft_sample_{worker_id}", sample) as made:
        yield made


@pytest.fixture
def sampled(connection: Connection) -> Connection:
    """A connection to a database with the sample that is made unless a test wants another."""
    return connection


def one(connection: Connection, query: str) -> tuple[object, ...]:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row


def row_counts(connection: Connection) -> dict[str, int]:
    return {
        table: count
        for table in TABLES
        for (count,) in connection.execute(
            sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
        )
    }


def digests(connection: Connection) -> dict[str, str]:
    return {
        table: digest
        for table in TABLES
        for (digest,) in connection.execute(
            sql.SQL("SELECT md5(string_agg(t::text, E'\\n' ORDER BY t::text)) FROM {} AS t").format(
                sql.Identifier(table)
            )
        )
    }


def test_the_same_seed_makes_the_same_rows_and_another_seed_others(
    connection: Connection,
) -> None:
    found = []
    for seed in (5, 5, 6):
        with connection.transaction(force_rollback=True):
            sample(connection, families=2, last=JANUARY, segments=300, seed=seed)
            found.append(digests(connection))
    assert found[0] == found[1]
    assert all(found[0][table] != found[2][table] for table in TABLES)


def test_every_month_is_filled_from_its_first_instant_to_its_last_microsecond(
    sampled: Connection,
) -> None:
    found = sampled.execute(
        "SELECT min(created_at), max(created_at), count(*),"
        "   max(date_part('day', created_at)) - min(date_part('day', created_at))"
        " FROM content_segments GROUP BY date_trunc('month', created_at) ORDER BY 1"
    ).fetchall()
    microsecond = datetime.resolution
    assert [row[:3] for row in found] == [
        (month.start, month.end - microsecond, 700) for month in JANUARY.until(MARCH)
    ]
    per_day = sampled.execute(
        "SELECT count(*) FROM content_segments WHERE created_at < '2024-02-01'"
        " GROUP BY date_trunc('day', created_at)"
    ).fetchall()
    assert len(per_day) == 31
    assert all(abs(count - 700 / 31) <= 2 for (count,) in per_day)


def test_sequence_numbers_count_a_thread_through_time_and_over_months(
    sampled: Connection,
) -> None:
    wrong = sampled.execute(
        "SELECT thread_id, sequence_number FROM ("
        "  SELECT *, row_number() OVER (PARTITION BY thread_id ORDER BY created_at) AS place"
        "  FROM content_segments) AS s"
        " WHERE sequence_number <> place"
    ).fetchall()
    assert wrong == []
    over_months = one(
        sampled,
        "SELECT count(*) FROM (SELECT FROM content_segments GROUP BY thread_id"
        " HAVING count(DISTINCT date_trunc('month', created_at)) = 3) AS t",
    )
    assert over_months > (100,)


def test_the_triggers_registered_every_segment(sampled: Connection) -> None:
    keys = "SELECT id, created_at, thread_id, sequence_number FROM content_segment_keys"
    segments = "SELECT id, created_at, thread_id, sequence_number FROM content_segments"
    assert one(sampled, f"SELECT count(*) FROM ({keys} INTERSECT {segments}) AS k") == (2100,)


def test_the_report_counts_the_rows_that_are_there(connection: Connection) -> None:
    report = sample(connection)
    counts = row_counts(connection)
    assert report.rows == {table: counts[table] for table in report.rows}
    assert counts["content_segment_keys"] == counts["content_segments"] == 2100
    assert min(counts.values()) > 0
    assert report.bytes > 2100 * 500


def test_families_have_the_sizes_of_the_specification(connection: Connection) -> None:
    sample(connection, families=20, segments=2000)
    counts = row_counts(connection)
    assert counts["family_members"] == 20 * 8
    assert counts["memory_books"] == 20 * 5
    assert counts["threads"] == 20 * 5 * 20
    shared = one(
        connection,
        "SELECT count(*) FROM"
        " (SELECT FROM family_members GROUP BY user_id HAVING count(*) = 2) AS twice",
    )
    assert shared == (4,)
    assert counts["users"] == 20 * 8 - 4
    (average,) = one(
        connection,
        "SELECT avg(octet_length(text_content))::float FROM content_segments"
        " WHERE content_type = 'text' AND octet_length(text_content) < 4000",
    )
    assert isinstance(average, float)
    assert 450 < average < 560


def test_texts_compress_like_prose(sampled: Connection) -> None:
    texts = sampled.execute(
        "SELECT text_content FROM content_segments"
        " WHERE content_type = 'text' AND text_content IS NOT NULL"
    ).fetchall()
    plain = "\n".join(text for (text,) in texts).encode()
    assert 2.5 < len(plain) / len(zlib.compress(plain)) < 5


def test_what_real_rows_may_hold_is_all_there(connection: Connection) -> None:
    sample(connection, families=20, segments=3000)
    missing = [oddity for oddity in ODDITIES if one(connection, COUNT + oddity) == (0,)]
    assert missing == []


def test_links_lead_to_earlier_segments_of_the_family_mostly_in_other_months(
    sampled: Connection,
) -> None:
    rows = sampled.execute(
        "SELECT l.link_type, s.created_at, t.created_at, s.thread_id = t.thread_id,"
        "   sb.family_id = tb.family_id"
        " FROM content_links AS l"
        " JOIN content_segment_keys AS s ON s.id = l.source_segment_id"
        " JOIN content_segment_keys AS t ON t.id = l.target_segment_id"
        " JOIN threads AS st ON st.id = s.thread_id"
        " JOIN memory_books AS sb ON sb.id = st.memory_book_id"
        " JOIN threads AS tt ON tt.id = t.thread_id"
        " JOIN memory_books AS tb ON tb.id = tt.memory_book_id"
    ).fetchall()
    assert {kind for kind, *_ in rows} == {"reply", "reference", "continuation"}
    for kind, source_at, target_at, same_thread, same_family in rows:
        assert target_at < source_at
        assert same_family
        assert same_thread or kind == "reference"
    across = [1 for _, source_at, target_at, *_ in rows if source_at.month != target_at.month]
    assert len(across) > len(rows) / 3


def test_what_happens_to_the_last_segment_of_a_month_happens_in_that_month(
    connection: Connection,
) -> None:
    # With this seed the last segment of March is edited and deleted.
    sample(connection, segments=2, seed=588)
    beyond = one(
        connection,
        "SELECT count(*) FILTER (WHERE at >= '2024-04-01'), count(at) FROM content_segments,"
        " LATERAL (VALUES (edited_at), (deleted_at)) AS changes (at)"
        " WHERE created_at = timestamptz '2024-04-01 00:00+00' - interval '1 microsecond'",
    )
    assert beyond == (0, 2)


def test_nothing_is_dated_at_or_after_until(connection: Connection) -> None:
    until = datetime(2024, 2, 10, 12, tzinfo=UTC)
    sample(connection, last=Month(2024, 2), until=until)
    assert one(connection, "SELECT max(created_at) FROM content_segments") == (
        until - datetime.resolution,
    )
    latest = one(
        connection,
        "SELECT greatest((SELECT max(edited_at) FROM content_segments),"
        " (SELECT max(deleted_at) FROM content_segments),"
        " (SELECT max(last_login_at) FROM users), (SELECT max(created_at) FROM audit_log))",
    )
    assert latest <= (until,)
    with pytest.raises(OpsError, match="leave out the months to come"):
        sample(connection, last=MARCH, until=until)


def test_one_family_is_enough_for_a_sample(connection: Connection) -> None:
    report = sample(connection, families=1, last=JANUARY, segments=1)
    assert report.rows["users"] == 8
    assert report.rows["content_segments"] == 1


def test_a_database_with_somebody_elses_user_is_refused(connection: Connection) -> None:
    connection.execute(
        "INSERT INTO users (clerk_id, email) VALUES ('sample_1_x', 'somebody@example.org')"
    )
    before = row_counts(connection)
    with pytest.raises(Refused, match="1 users that no sample made"):
        sample(connection)
    assert row_counts(connection) == before


def test_a_second_sample_is_refused_and_names_the_seed_of_the_first(
    connection: Connection,
) -> None:
    sample(connection, last=JANUARY, segments=10, seed=41)
    before = row_counts(connection)
    with pytest.raises(Refused, match="already holds the sample of seed 41"):
        sample(connection, seed=42)
    assert row_counts(connection) == before


def test_months_without_a_partition_are_refused_by_name(connection: Connection) -> None:
    connection.execute("ALTER TABLE audit_log DETACH PARTITION audit_log_2024_02")
    with pytest.raises(Refused) as refusal:
        sample(connection, first=Month(2023, 12))
    assert refusal.value.cause == (
        "3 partitions are missing: content_segments_2023_12, audit_log_2023_12, audit_log_2024_02"
    )
    assert set(row_counts(connection).values()) == {0}


def test_a_sample_that_dies_half_way_leaves_nothing_and_can_be_made_again(
    connection: Connection,
) -> None:
    def die_in_march(line: str) -> None:
        if "2024-03" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_sample(
            connection,
            families=2,
            first=JANUARY,
            last=MARCH,
            segments_per_month=50,
            seed=1,
            progress=die_in_march,
        )
    assert set(row_counts(connection).values()) == {0}
    assert sample(connection, segments=50).rows["content_segments"] == 150


@pytest.mark.parametrize(
    ("families", "segments", "seed"), [(0, 1, 1), (1, 0, 1), (1, 4_000_000, 1), (1, 1, -1)]
)
def test_numbers_out_of_range_are_named(
    connection: Connection, families: int, segments: int, seed: int
) -> None:
    with pytest.raises(OpsError, match="it must lie between"):
        sample(connection, families=families, segments=segments, seed=seed)
