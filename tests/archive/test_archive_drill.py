"""Each month one archived month is retrieved, loaded beside and proven; else nobody knows."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ft_ops.archive.drill.choose import Proof, drawn_place, ranked
from ft_ops.archive.drill.conduct import HeldDrill, hold_drill, plan_drill
from ft_ops.archive.drill.drills import is_due, newest_drill, open_drill
from ft_ops.archive.drill.standing import LONGEST_WITHOUT, judge
from ft_ops.archive.keep.adopt import adopt
from ft_ops.archive.keep.drills import ship_drills
from ft_ops.archive.recorded.ship import ship_records
from ft_ops.clock import utc_now
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.glacier import Availability
from ft_ops.s3.objects import delete_version, put_once
from tests.archive.test_adopt import anew
from tests.archive.world import MONTH, PRICES, World
from tests.fixtures.postgres import Database

NOW = datetime(2026, 11, 3, 8, 40, tzinfo=UTC)
FIRST_TURN = datetime(2026, 12, 3, tzinfo=UTC)


def held(world: World, *, month: Month | None = None) -> HeldDrill:
    found = hold_drill(world.run, PRICES, dollars=5, month=month)
    assert found is not None
    return found


def asked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run that asks, while Glacier has not answered; the tests' endpoint answers at once."""
    with monkeypatch.context() as patch:
        patch.setattr(
            "ft_ops.archive.drill.conduct.availability",
            lambda bucket, stored: Availability(readable=False, requested=True, until=None),
        )
        assert held(world).state == "asked"
        assert held(world).state == "asked"


def proofs(*drilled_at: datetime | None) -> list[Proof]:
    made = datetime(2020, 1, 1, tzinfo=UTC)
    return [Proof(Month(2010, 1).plus(n), made, at) for n, at in enumerate(drilled_at)]


def test_the_choice_is_the_months_and_those_that_were_never_drilled_come_first() -> None:
    some = proofs(*[None] * 9, *[NOW - timedelta(days=40)] * 9)
    order = ranked(some, NOW)
    assert ranked(list(reversed(some)), NOW + timedelta(days=20)) == order
    assert set(order[:9]) == {p for p in some if p.drilled_at is None}
    firsts = {ranked(some, datetime(2026, n, 1, tzinfo=UTC))[0] for n in range(1, 13)}
    assert len(firsts) > 1


def test_a_drill_of_long_ago_comes_before_one_of_late() -> None:
    """By chance among the oldest third, and never one of the newest before them."""
    some = proofs(*[NOW - timedelta(days=n) for n in range(40, 58)])
    for n in range(1, 13):
        assert ranked(some, datetime(2026, n, 1, tzinfo=UTC))[0] in some[-6:]


def test_both_buckets_have_their_turn() -> None:
    months = [datetime(2026, n, 1, tzinfo=UTC) for n in (11, 12)]
    assert {drawn_place(month, has_second=True) for month in months} == {"first", "second"}
    assert {drawn_place(month, has_second=False) for month in months} == {"first"}


def test_a_month_is_retrieved_loaded_beside_and_proven(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fill(segments=12)
    assert hold_drill(world.run, PRICES, dollars=5) is None
    assert not is_due(world.connection, utc_now())
    purged = world.archived_and_purged()
    before = world.connection.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r' ORDER BY 1"
    ).fetchall()
    assert is_due(world.connection, utc_now())
    asked(world, monkeypatch)
    assert is_due(world.connection, utc_now())
    done = held(world)
    assert (done.state, done.error) == ("proven", None)
    assert done.certificate is not None
    assert str(purged.number) in str(done.certificate["generations"])
    assert world.count("content_segments") == 0
    after = world.connection.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r' ORDER BY 1"
    ).fetchall()
    assert after == before
    assert not is_due(world.connection, utc_now())
    assert is_due(world.connection, utc_now() + timedelta(days=32))


@pytest.mark.usefixtures("begins_purged")
def test_what_costs_more_than_the_limit_is_not_asked_for(world: World) -> None:
    dear = PRICES.model_copy(update={"standard_per_gb_month": 1e9})
    plan = plan_drill(world.run, dear, dollars=10_000)
    assert plan is not None
    cost = plan.estimate.dollars
    assert plan_drill(world.run, dear, dollars=cost) is not None
    said: list[str] = []
    with pytest.raises(Refused, match="costs more than"):
        hold_drill(replace(world.run, log=said.append), dear, dollars=cost - 0.01)
    assert [line for line in said if str(MONTH) in line and "no drill reads it" in line] == said
    assert said
    assert open_drill(world.connection) is None


def test_what_can_not_be_read_back_is_refuted_and_stays_so_until_it_is_proven(
    world: World, second_bucket: Bucket
) -> None:
    """A whole second copy does not make up for it: the drill is of one bucket."""
    world.second = second_bucket
    world.clock = lambda: FIRST_TURN
    world.fill(segments=12)
    purged = world.archived_and_purged()
    stored = purged.parts()[1].stored
    delete_version(world.bucket, stored.key, stored.version_id)
    done = held(world)
    assert done.state == "refuted"
    assert stored.key in str(done.error)
    found = judge(world.connection, utc_now(), oldest_days=3650)
    assert any("refuted" in problem and str(MONTH) in problem for problem in found.problems)
    # The other copy is whole, and its proof takes nothing away from that.
    world.clock = lambda: NOW
    assert held(world, month=MONTH).state == "proven"
    assert judge(world.connection, utc_now(), oldest_days=3650).problems == found.problems


@pytest.mark.usefixtures("begins_purged")
def test_a_drill_that_could_not_be_held_is_unknown_and_held_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:

    def full(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("ft_ops.archive.drill.conduct.loaded", full)
        assert held(world).state == "unknown"
    found = judge(world.connection, utc_now(), oldest_days=3650)
    assert "came to no verdict" in found.problems[0]
    assert is_due(world.connection, utc_now())
    assert held(world).state == "proven"
    assert judge(world.connection, utc_now(), oldest_days=3650).problems == ()


@pytest.mark.usefixtures("begins_purged")
def test_a_month_that_was_erased_meanwhile_is_no_refutation(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(world, monkeypatch)
    world.connection.execute("UPDATE ops.archive SET state = 'superseded'")
    done = held(world)
    assert done.state == "unknown"
    assert "others by now" in str(done.error)


@pytest.mark.usefixtures("begins_purged")
def test_the_age_of_the_last_drill_and_of_the_oldest_proof_have_their_limits(
    world: World,
) -> None:
    held(world)
    newest = newest_drill(world.connection)
    assert newest is not None
    assert newest.finished_at is not None
    limit = newest.finished_at + LONGEST_WITHOUT

    def problems(now: datetime, days: int = 3650) -> tuple[str, ...]:
        return judge(world.connection, now, oldest_days=days).problems

    assert problems(limit) == ()
    assert "no drill for 45 days" in problems(limit + timedelta(seconds=1))[0]
    assert problems(newest.finished_at + timedelta(days=10), 10) == ()
    [problem] = problems(newest.finished_at + timedelta(days=10, seconds=1), 10)
    assert "the proof of" in problem


@pytest.mark.usefixtures("begins_purged")
def test_the_drills_come_back_from_the_bucket(world: World, template: Database) -> None:
    held(world)
    ship_records(world.run)
    assert ship_drills(world.connection, world.bucket, "archive") == 1
    assert ship_drills(world.connection, world.bucket, "archive") == 0
    assert adopt(world.run, apply=False).changes == ()
    # Whoever may write there may write what is none: it is named, and stops nothing else.
    body = b'{"month": null}'
    name = hashlib.sha256(body).hexdigest()[:32]
    forged = put_once(world.bucket, f"archive/records/drills/2011-01/x-{name}.json", body)
    with anew(world, template) as new:
        [problem] = adopt(new.run, apply=True).problems
        assert forged.key in problem.name
        delete_version(world.bucket, forged.key, forged.version_id)
        assert kept(new.connection) == kept(world.connection)
        [change] = adopt(new.run, apply=True).changes
        assert "claims the archive" in change
        assert adopt(new.run, apply=True).changes == ()


def kept(connection: Connection) -> list[tuple[object, ...]]:
    return connection.execute(
        "SELECT to_jsonb(d) - ARRAY['id', 'run_id'] FROM ops.archive_drills AS d"
    ).fetchall()
