"""Holes and stray timelines of the archived log are found by name, whatever the server says."""

from __future__ import annotations

import os
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_ops.backups.barman.archived_wal import ListedLog, list_wal
from ft_ops.backups.barman.log import log_state
from ft_ops.backups.barman.place import Place
from ft_ops.backups.barman.spool import ship, spooled
from ft_ops.backups.barman.wal import Hole, Segment, Switch, expected_segments, holes, parse_history
from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection
from ft_ops.pg.supervision.supervised import LOWEST_PRIORITY
from ft_ops.programs import run
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import objects

SIZE = 16 << 20


@given(
    number=st.integers(0, 2**40),
    timeline=st.integers(1, 2**32 - 1),
    size=st.sampled_from([1 << 20, SIZE, 64 << 20, 1 << 30]),
)
def test_a_segments_name_says_where_it_is(number: int, timeline: int, size: int) -> None:
    number %= (1 << 64) // size
    segment = Segment(number, timeline, size)
    assert Segment.parse(segment.name, size) == segment


def test_names_are_postgresqls() -> None:
    # pg_walfile_name('1/23000000') on timeline 3
    assert Segment.parse("000000030000000100000023", SIZE).number == 0x123
    assert Segment(0x123, 3, SIZE).name == "000000030000000100000023"
    with pytest.raises(OpsError, match="a segment's name has 24 hexadecimal digits"):
        Segment.parse("000000010000000000000005.partial", SIZE)


def test_each_run_of_missing_segments_is_one_hole() -> None:
    wanted = [Segment(number, 1, SIZE) for number in range(1, 10)]
    present = {segment.name for segment in wanted if segment.number not in {3, 6, 7, 8}}
    found = holes(wanted, present.__contains__)
    assert found == [Hole(wanted[2], wanted[2]), Hole(wanted[5], wanted[7])]
    assert [str(hole) for hole in found] == [
        "000000010000000000000003",
        "000000010000000000000006 to 000000010000000000000008 (3 segments)",
    ]


def test_the_log_changes_timelines_where_the_history_says() -> None:
    history = parse_history("1\t0/5000100\tbefore a drop\n\n2\t0/7000000\tno reason # x\n")
    assert history == [Switch(1, 0x5000100), Switch(2, 0x7000000)]
    wanted = expected_segments(Segment(3, 1, SIZE), Segment(8, 3, SIZE), history)
    # The segment of a switch is read from the child; 0/7000000 begins segment 7.
    assert [(s.number, s.timeline) for s in wanted] == [
        (3, 1),
        (4, 1),
        (5, 2),
        (6, 2),
        (7, 3),
        (8, 3),
    ]


@pytest.mark.parametrize(
    ("first", "leads"), [((5, 1), True), ((6, 1), False), ((5, 4), False), ((6, 2), True)]
)
def test_only_what_lies_on_the_line_leads_to_a_later_timeline(
    first: tuple[int, int], leads: bool
) -> None:
    """Behind the place where its timeline was left, nothing leads on; nor from another branch."""
    history = parse_history("1\t0/5000100\tx\n2\t0/7000000\tx\n")
    if leads:
        assert expected_segments(Segment(*first, SIZE), Segment(8, 3, SIZE), history)
    else:
        with pytest.raises(OpsError, match="timeline 3 did not come through"):
            expected_segments(Segment(*first, SIZE), Segment(8, 3, SIZE), history)


@pytest.mark.parametrize(
    ("timeline", "lsn", "came"),
    [(1, "0/4000100", True), (1, "0/4000101", False), (2, "0/5000001", True), (3, "0/4", False)],
)
def test_a_server_knows_the_places_that_it_came_through(
    archive: Bucket, timeline: int, lsn: str, came: bool
) -> None:
    _put(archive, "wals/00000002.history", b"1\t0/4000100\treason\n")
    log = ListedLog(list_wal(archive, "wals/"), SIZE)
    wal = Segment(int(lsn.removeprefix("0/")[:1]), timeline, SIZE).name
    assert log.came_through(wal, lsn, Segment(5, 2, SIZE).name) is came


@pytest.fixture
def archive(bucket: Bucket) -> Bucket:
    """Segments 1 to 4 of timeline 1 and 4 to 5 of timeline 2, which left it in segment 4."""
    for name in [*(Segment(n, 1, SIZE).name for n in range(1, 5)), *_second_timeline()]:
        _put(bucket, f"wals/{name[:16]}/{name}.gz")
    return bucket


def _second_timeline() -> list[str]:
    return [Segment(number, 2, SIZE).name for number in (4, 5)]


def _put(bucket: Bucket, key: str, body: bytes = b"") -> None:
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=body)


def _problems(connection: Connection, bucket: Bucket, first: int = 1) -> str:
    log = ListedLog(list_wal(bucket, "wals/"), SIZE)
    found = log_state(connection, log, Segment(first, 1, SIZE), None)
    return "; ".join(found.problems)


def test_a_timeline_without_its_history_is_named(connection: Connection, archive: Bucket) -> None:
    assert "timeline 2 has segments, and 00000002.history is missing" in _problems(
        connection, archive
    )


def test_a_log_over_two_timelines_is_whole(connection: Connection, archive: Bucket) -> None:
    _put(archive, "wals/00000002.history", b"1\t0/4000100\treason\n")
    assert "WAL is missing" not in _problems(connection, archive)


def test_a_hole_on_either_timeline_is_named(connection: Connection, archive: Bucket) -> None:
    _put(archive, "wals/00000002.history", b"1\t0/4000100\treason\n")
    for name in (Segment(2, 1, SIZE).name, Segment(4, 2, SIZE).name):
        archive.client.delete_object(Bucket=archive.name, Key=f"wals/{name[:16]}/{name}.gz")
        assert f"WAL is missing: {name}" in _problems(connection, archive)


def test_a_longer_branch_hides_no_hole_of_the_servers_own_log(
    connection: Connection, archive: Bucket
) -> None:
    """It was recovered to an earlier moment: what it had written before reaches further."""
    _put(archive, "wals/00000002.history", b"1\t0/4000100\treason\n")
    for number in (*range(5, 10), 10**6):
        branch = Segment(number, 1 if number < 10 else 3, SIZE).name
        _put(archive, f"wals/{branch[:16]}/{branch}.gz")
    listed = list_wal(archive, "wals/")
    lost = Segment(4, 2, SIZE)
    pierced = replace(listed, files={n: o for n, o in listed.files.items() if n != lost.name})
    first = Segment(1, 1, SIZE).name
    assert ListedLog(pierced, SIZE).holes(first) != [f"WAL is missing: {lost.name}"]
    log = ListedLog(pierced, SIZE, timeline=2)
    assert log.newest == Segment(5, 2, SIZE)
    assert log.holes(first) == [f"WAL is missing: {lost.name}"]
    assert log.gaps(first) == [(lost.name, lost.name)]
    told = log_state(connection, log, Segment(1, 1, SIZE), None).problems
    assert any(f"WAL is missing: {lost.name};" in problem for problem in told)
    assert any("which this server has not written yet" in problem for problem in told)
    # Where nobody can tell its way, it is not the longer branch's that tells of no hole.
    gone = ("00000002.history", Segment(10**6, 3, SIZE).name)
    untold = replace(listed, files={n: o for n, o in listed.files.items() if n not in gone})
    [said] = ListedLog(untold, SIZE, timeline=2).holes(first)
    assert "does not hold it" in said


def test_a_hole_that_is_accepted_is_that_one_and_no_other(
    connection: Connection, archive: Bucket
) -> None:
    """Not what is missing beside it, and not the same numbers of another timeline."""
    _put(archive, "wals/00000002.history", b"1\t0/4000100\treason\n")
    lost = Segment(2, 1, SIZE).name
    archive.client.delete_object(Bucket=archive.name, Key=f"wals/{lost[:16]}/{lost}.gz")
    listed = list_wal(archive, "wals/")

    def holes(*accepted: tuple[str, str]) -> list[str]:
        log = ListedLog(listed, SIZE, accepted)
        state = log_state(connection, log, Segment(1, 1, SIZE), None)
        told = [said for said in state.problems if "WAL is missing" in said]
        assert [said.split(";")[0] for said in told] == log.holes(Segment(1, 1, SIZE).name)
        return told

    (said,) = holes()
    assert f"ft-ops backup accept-hole {lost} {lost} --reason" in said
    assert holes((lost, lost)) == []
    # Of a wider hole that somebody has filled in part.
    assert holes((Segment(1, 1, SIZE).name, Segment(3, 1, SIZE).name)) == []
    assert holes((Segment(2, 2, SIZE).name, Segment(2, 2, SIZE).name)) == [said]
    assert holes((Segment(3, 1, SIZE).name, Segment(3, 1, SIZE).name)) == [said]
    beside = Segment(3, 1, SIZE).name
    archive.client.delete_object(Bucket=archive.name, Key=f"wals/{beside[:16]}/{beside}.gz")
    listed = list_wal(archive, "wals/")
    assert len(holes((lost, lost))) == 1


def test_a_hole_over_two_timelines_is_accepted_on_each(archive: Bucket) -> None:
    _put(archive, "wals/00000002.history", b"1\t0/4000100\treason\n")
    lost = (Segment(3, 1, SIZE).name, Segment(4, 2, SIZE).name)
    for name in lost:
        archive.client.delete_object(Bucket=archive.name, Key=f"wals/{name[:16]}/{name}.gz")
    listed, first = list_wal(archive, "wals/"), Segment(1, 1, SIZE).name
    gaps = ListedLog(listed, SIZE).gaps(first)
    assert gaps == [(name, name) for name in lost]
    assert ListedLog(listed, SIZE, gaps).holes(first) == []


def test_a_file_that_is_no_wal_is_named(connection: Connection, archive: Bucket) -> None:
    _put(archive, "wals/0000000100000000/notes.txt")
    assert "files that are no WAL in its folder: wals/0000000100000000/notes.txt" in _problems(
        connection, archive
    )


def test_an_empty_archive_is_no_quiet_success(connection: Connection, bucket: Bucket) -> None:
    log = ListedLog(list_wal(bucket, "wals/"), SIZE)
    found = log_state(connection, log, Segment(1, 1, SIZE), None)
    assert found.restorable_to is None
    assert any("the bucket holds no WAL at all" in problem for problem in found.problems)


def test_wal_of_a_longer_log_than_the_servers_is_named(
    connection: Connection, bucket: Bucket
) -> None:
    name = Segment(10**6, 1, SIZE).name
    _put(bucket, f"wals/{name[:16]}/{name}.gz")
    assert f"the bucket holds {name}, which this server has not written yet" in _problems(
        connection, bucket, 10**6
    )


def _spool(folder: Path) -> Path:
    for number in (1, 2):
        (folder / Segment(number, 1, SIZE).name).write_bytes(b"content %d" % number)
    (folder / ".000000010000000000000003.part").write_bytes(b"half")
    return folder


def test_what_is_shipped_lies_where_barman_looks_for_it(bucket: Bucket, tmp_path: Path) -> None:
    _spool(tmp_path)
    history = tmp_path / "00000002.history"
    history.write_bytes(b"1\t0/3000000\tno reason\n")
    files = {path.name: path.read_bytes() for path in spooled(tmp_path)}
    place = Place(bucket, "barman", "familytales")
    shipped = ship(spooled(tmp_path), bucket, place.wals)
    assert list(shipped.files) == sorted(files)
    assert [path.name for path in tmp_path.iterdir()] == [".000000010000000000000003.part"]
    for name in (min(files), history.name):
        to = tmp_path / "fetched"
        run("barman-cloud-wal-restore", [*place.arguments, name, str(to)], timeout_seconds=60)
        assert to.read_bytes() == files[name]


def test_a_segment_is_never_written_over_another(bucket: Bucket, tmp_path: Path) -> None:
    first, second = spooled(_spool(tmp_path))
    _put(bucket, f"wals/{first.name[:16]}/{first.name}", b"another cluster's")
    # Shipped before, by a run that died before it could empty the spool.
    _put(bucket, f"wals/{second.name[:16]}/{second.name}", b"content 2")
    partial = tmp_path / f"{first.name}.partial"
    partial.write_bytes(b"left by the second promotion")
    _put(bucket, f"wals/{first.name[:16]}/{partial.name}", b"left by the first")
    shipped = ship(spooled(tmp_path), bucket, "wals")
    assert shipped.files == (second.name,)
    assert [failed.name for failed in shipped.failed] == [first.name, partial.name]
    assert all("holds something else" in failed.cause for failed in shipped.failed)
    assert partial.exists()
    assert first.read_bytes() == b"content 1"
    assert not second.exists()
    assert {stored.bytes for stored in objects(bucket, "wals/")} == {17, 9}  # nothing was added


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has no priority of its own")
def test_what_has_waited_for_long_is_shipped_at_an_equal_share(
    bucket: Bucket, tmp_path: Path
) -> None:
    """Where others always want the processor, who gives way to them would never catch up."""
    places: list[int] = []

    def look(**_: object) -> None:
        places.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    bucket.client.meta.events.register("before-send.s3.PutObject", look)
    for waited in (5, 15):
        for path in spooled(_spool(tmp_path)):
            os.utime(path, times=(time.time() - waited, time.time() - waited))
        ship(spooled(tmp_path), bucket, f"after {waited}", gives_way_seconds=10)
    assert places == [LOWEST_PRIORITY, LOWEST_PRIORITY, os.nice(0), os.nice(0)]


def test_a_missing_spool_is_named(tmp_path: Path) -> None:
    with pytest.raises(OpsError, match=r"No such file or directory.*FT_WAL_SPOOL"):
        spooled(tmp_path / "nowhere")
