"""A month's digest is that of its rows, however they are read."""

from __future__ import annotations

import pytest
from psycopg import sql
from psycopg.errors import UndefinedTable

from ft_ops.archive.month.catalog import read_content
from ft_ops.archive.month.digest import BucketDigests, MonthDigests, month_digests, total
from ft_ops.archive.month.source import hot_source
from ft_ops.archive.month.units import Hashes, hash_rows, hash_steps
from ft_ops.archive.proof.proof import prove_month
from ft_ops.archive.store.export import export_month
from ft_ops.pg.connect import Connection, connect
from ft_ops.pg.pace import FULL_SPEED, Pace
from tests.archive.world import MONTH, World


def digests(world: World, pace: Pace = FULL_SPEED) -> MonthDigests:
    content = read_content(world.connection)
    return month_digests(world.connection, content, hot_source(content, MONTH), pace)


def in_one_statement(world: World) -> BucketDigests:
    content = read_content(world.connection)
    source = hot_source(content, MONTH)
    query = sql.SQL("(SELECT * FROM {})").format(source.segments)
    found = month_digests(world.connection, content, source.with_segments(query))
    return found["content_segments"]


def test_a_table_read_page_by_page_has_the_digest_of_the_whole(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ft_ops.archive.month.digest.PIECE_PAGES", 1)
    world.month(MONTH)
    # Some rows a page, some in TOAST; then gaps, and rows in other places than before.
    made = [
        world.segment(thread=n % 4, text=("é" if n % 7 else "long ") * (500 + 900 * (n % 7)))
        for n in range(60)
    ]
    world.connection.execute("DELETE FROM content_segments WHERE id = ANY (%s)", (made[::9],))
    world.connection.execute(
        "UPDATE content_segments SET text_content = 'edited' WHERE id = ANY (%s)", (made[1::9],)
    )
    rests: list[float] = []
    found = digests(world, Pace(lambda: True, 0.5, rests.append))["content_segments"]
    assert found == in_one_statement(world)
    assert total(found).rows == 60 - len(made[::9])
    [[pages]] = world.connection.execute(
        "SELECT pg_relation_size('content_segments_2017_03') / 8192"
    ).fetchall()
    assert pages > 2
    assert len(rests) == pages + 3, "one a page, and one a table of what belongs to the segments"


def test_an_empty_month_has_an_empty_digest(world: World) -> None:
    world.month(MONTH)
    assert all(not by_bucket for by_bucket in digests(world).values())


def test_two_sessions_hash_each_row_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ft_ops.archive.month.digest.PIECE_PAGES", 1)
    world.month(MONTH)
    for n in range(30):
        world.segment(thread=n % 4, text=f"{n} " * 900)
    content = read_content(world.connection)
    hashes = Hashes(sql.Identifier("ops", "test_hashes"), sql.Identifier("ops", "test_shared"))
    with connect(world.database.url, application="test") as other:
        sessions = [world.connection, other]
        found = hash_rows(sessions, content, hot_source(content, MONTH), hashes)
    assert found == {name: dict(by_bucket) for name, by_bucket in digests(world).items()}
    assert total(found["content_segments"]).rows == 30


def test_when_one_session_fails_the_statement_of_the_other_is_cancelled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = Hashes(sql.Identifier("ops", "test_hashes"), sql.Identifier("ops", "test_shared"))
    long = sql.SQL("SELECT 0, gen_random_uuid(), 0, 0 FROM pg_sleep(3)").format()
    steps = [(long, hashes.rows), (long, sql.Identifier("ops", "nowhere"))]
    monkeypatch.setattr("ft_ops.archive.month.units._queries", lambda *_: steps)
    content = read_content(world.connection)
    with connect(world.database.url, application="test") as other:
        sessions = [world.connection, other]
        with pytest.raises(UndefinedTable):
            hash_rows(sessions, content, hot_source(content, MONTH), hashes)
    assert world.count("ops.test_hashes") == 0


def test_a_proof_that_fails_does_not_wait_for_the_digests_of_the_database(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fill()
    world.move()
    generation = export_month(world.run, world.standing())
    ended: list[str] = []

    def digest_long(reader: Connection, *_: object) -> MonthDigests:
        reader.execute("SELECT pg_sleep(3)")
        ended.append("digests")
        return {}

    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ft_ops.archive.proof.proof.month_digests", digest_long)
    monkeypatch.setattr("ft_ops.archive.proof.proof.loaded", fail)
    with pytest.raises(KeyboardInterrupt):
        prove_month(world.run, generation)
    assert ended == []


def test_when_one_session_fails_none_goes_on(world: World) -> None:
    into = sql.Identifier("ops", "test_hashes")
    left = iter([(sql.SQL(query).format(), into) for query in ("SELECT 1", "SELECT 2")])
    with pytest.raises(UndefinedTable):
        hash_steps(world.connection, left, FULL_SPEED)
    assert list(left) == []
