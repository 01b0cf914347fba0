"""Months of the audit log: to the archive, out of the database, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest
from psycopg.types.json import Jsonb

from ft_ops.archive.audit import keep as keeping
from ft_ops.archive.audit import purge as purging
from ft_ops.archive.audit.keep import adopt_audit, adopt_both, record_audit_generations
from ft_ops.archive.audit.months import LEDGER, archive_audit_month, audit_run, live_rows, table_of
from ft_ops.archive.audit.purge import AuditPurge, plan_audit_purge, purge_audit_month
from ft_ops.archive.audit.work import work_on_audit_months
from ft_ops.archive.drill.conduct import hold_drill
from ft_ops.archive.drill.drills import proofs
from ft_ops.archive.drill.standing import judge
from ft_ops.archive.erase.superseded import remove_superseded, superseded_objects
from ft_ops.archive.hold.holds import add_hold, release_hold
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import generations, in_database
from ft_ops.archive.recorded.ship import ship_records
from ft_ops.archive.replica.fill import fill, lacking
from ft_ops.archive.run import Run
from ft_ops.archive.status import stored_bytes
from ft_ops.archive.store.export import export_month
from ft_ops.archive.store.presence import look
from ft_ops.definitions import defs
from ft_ops.errors import OpsError, Refused
from ft_ops.months import Month
from ft_ops.partitions import coverage, ensure_months, wanted_months
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import delete_version, objects
from ft_ops.s3.twins import under
from tests.archive.beginnings import Beginning, made_once
from tests.archive.world import MONTH, PRICES, World
from tests.fixtures.postgres import Database

LATER = timedelta(days=20)


class Killed(BaseException):
    """The process has died."""


class Audit:
    """The audit log of 2017-03. ``first`` are the rows that it began with."""

    def __init__(self, world: World) -> None:
        self.world, self.connection = world, world.connection

    @property
    def first(self) -> Sequence[tuple[object, ...]]:
        return self.world.kept["audit_log"]

    def fill(self) -> None:
        """One row of each kind."""
        self.world.month(MONTH)
        ensure_months(self.connection, "audit_log", [MONTH])
        self.row()
        self.row(ip="192.168.7.0/24", values={"a": [1.10, None, "ä"]}, agent="Safari")
        self.row(ip="2001:db8::1", at=MONTH.end - timedelta(microseconds=1))
        self.world.kept["audit_log"] = [*self.rows()]

    @property
    def run(self) -> Run:
        return audit_run(self.world.run, 7)

    def row(
        self,
        *,
        ip: str | None = None,
        values: object = None,
        agent: str | None = None,
        at: datetime = MONTH.start,
        user: int = 0,
    ) -> None:
        self.connection.execute(
            "INSERT INTO audit_log (user_id, action, table_name, record_id, old_values, new_values,"
            " ip_address, user_agent, created_at)"
            " VALUES (%s, 'update', 'threads', %s, %s, %s, %s, %s, %s)",
            (self.world.users[user], uuid4(), None, Jsonb(values), ip, agent, at),
        )

    def rows(self) -> Sequence[tuple[object, ...]]:
        return self.connection.execute(
            "SELECT * FROM audit_log WHERE created_at >= %s AND created_at < %s ORDER BY id",
            (MONTH.start, MONTH.end),
        ).fetchall()

    def archive(self) -> Generation:
        return archive_audit_month(self.run, MONTH)

    def standing(self) -> Generation:
        found = in_database(self.connection, MONTH, LEDGER)
        assert found is not None
        return found

    def purge(self, run: Run | None = None) -> AuditPurge:
        run = run or self.run
        return purge_audit_month(run, plan_audit_purge(run, self.standing()))

    def purged(self) -> Generation:
        self.archive()
        self.world.verified_backup()
        done = self.purge()
        assert done.outcome == "purged", done.why
        return done.generation

    def back(self, days: int = 14) -> None:
        """Bring the month back; this endpoint answers at once."""
        worked = work_on_audit_months(self.run, [MONTH], days=days, tier="Bulk")
        worked.refuse_failures("audit log")

    def months(self) -> list[Month]:
        first, last = Month(2017, 1), Month(2017, 5)
        return wanted_months(self.connection, "audit_log", first=first, last=last)

    def states(self) -> list[str]:
        return [g.state for g in generations(self.connection, MONTH, LEDGER)]


def filled(world: World) -> Audit:
    audit = Audit(world)
    audit.fill()
    return audit


@pytest.fixture(scope="module")
def begins_with_frozen_log(
    template: Database, s3_endpoint: str, worker_id: str
) -> Iterator[Beginning]:
    """A test that uses it begins with the month archived."""

    def live(world: World) -> None:
        filled(world).archive()

    with made_once("frozen_log", template, s3_endpoint, worker_id, live) as made:
        yield made


@pytest.fixture(scope="module")
def begins_with_purged_log(
    template: Database, s3_endpoint: str, worker_id: str
) -> Iterator[Beginning]:
    """A test that uses it begins with the month in the archive alone."""

    def live(world: World) -> None:
        filled(world).purged()

    with made_once("purged_log", template, s3_endpoint, worker_id, live) as made:
        yield made


@pytest.fixture
def audit(beginning: Beginning | None, world: World) -> Audit:
    return filled(world) if beginning is None else Audit(world)


def test_a_month_is_proven_leaves_and_comes_back_row_by_row(audit: Audit) -> None:
    before = audit.rows()
    assert len(before) == 3
    worked = work_on_audit_months(audit.run, [], days=1, tier="Bulk")
    assert [done.detail for done in worked.results if done.did == "archived"] == [
        f"audit log of {MONTH} generation 1: frozen, 3 rows"
    ]
    frozen = audit.standing()
    assert (frozen.state, frozen.rows) == ("frozen", {"audit_log": 3})
    assert {o.stored.storage_class for o in frozen.parts()} == {"DEEP_ARCHIVE"}
    assert stored_bytes(audit.connection)["DEEP_ARCHIVE"] == sum(
        o.stored.bytes for o in frozen.parts()
    )
    assert all(o.stored.key.startswith("archive/audit_log/table=") for o in frozen.objects)
    assert audit.rows() == before
    assert archive_audit_month(audit.run, MONTH) == frozen

    waits = audit.purge()
    assert (waits.outcome, audit.rows()) == ("waits", before)
    assert "verified backup younger than the proof" in waits.why
    audit.world.verified_backup()
    assert audit.purge().outcome == "purged"
    assert audit.rows() == []
    assert MONTH not in audit.months()
    [[purges]] = audit.connection.execute(
        "SELECT count(*) FROM audit_log WHERE action = 'archive.purge'"
        " AND new_values ->> 'rows' = '3'"
    ).fetchall()
    assert purges == 1

    audit.back()
    assert audit.rows() == before
    assert MONTH in audit.months()


@pytest.mark.usefixtures("begins_with_purged_log")
def test_a_copy_that_expired_before_it_was_loaded_is_asked_for_again(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 says nothing of a restore any more once its copy has expired."""
    before = audit.first
    client: Any = audit.world.bucket.client
    head, restore = client.head_object, client.restore_object
    asked: list[str] = []
    state = {"Restore": 'ongoing-request="true"'}

    def head_object(**names: Any) -> Any:
        return {**head(**names), "Restore": state["Restore"]}

    def restore_object(**names: Any) -> Any:
        asked.append(names["Key"])
        return restore(**names)

    def day(wanted: Sequence[Month] = ()) -> list[str]:
        worked = work_on_audit_months(audit.run, wanted, days=14, tier="Bulk")
        worked.refuse_failures("audit log")
        return [f"{done.did}: {done.detail}" for done in worked.results]

    monkeypatch.setattr(client, "head_object", head_object)
    monkeypatch.setattr(client, "restore_object", restore_object)
    state["Restore"] = ""
    assert day([MONTH])[0].startswith("asked for")
    first = len(asked)
    state["Restore"] = 'ongoing-request="true"'
    assert day()[0].startswith("not readable yet")
    # It was readable, and nobody loaded it in time: two days of runs that failed, or none.
    state["Restore"] = ""
    [told] = day()
    assert "had expired before it was loaded; Glacier was asked again" in told
    assert len(asked) == first + 1
    monkeypatch.undo()
    assert day()[0].startswith("brought back: 3 rows, for 14 days")
    assert audit.rows() == before


def test_a_month_is_due_from_the_end_of_its_retention_on_and_not_before(audit: Audit) -> None:
    due = datetime(2024, 4, 1, tzinfo=UTC)
    run = replace(audit_run(audit.world.run, 7), clock=lambda: due - timedelta(microseconds=1))
    with pytest.raises(Refused, match="not due before 2024-04-01, by FT_AUDIT_RETENTION_YEARS=7"):
        archive_audit_month(run, MONTH)
    assert audit.states() == []
    generation = archive_audit_month(replace(run, clock=lambda: due), MONTH)
    assert generation.state == "frozen"
    audit.world.verified_backup()
    # Whoever raises the retention means what was archived before, too.
    longer = replace(audit_run(audit.world.run, 8), clock=lambda: due)
    assert "FT_AUDIT_RETENTION_YEARS=8" in audit.purge(longer).why
    assert len(audit.rows()) == 3


def test_a_run_that_dies_between_export_and_proof_is_gone_on_with(audit: Audit) -> None:
    run = audit.run
    with pytest.raises(Killed):
        _die_in(run)
    assert audit.states() == ["exporting"]
    assert audit.archive().state == "frozen"
    assert audit.states() == ["frozen"]


def _die_in(run: Run) -> None:
    def dies(line: str) -> None:
        if line.startswith("audit_log part 0"):
            raise Killed

    archive_audit_month(replace(run, log=dies), MONTH)


@pytest.mark.usefixtures("begins_with_frozen_log")
@pytest.mark.parametrize("ending", ["purged", "put back", "refused"])
def test_a_run_that_dies_after_the_detach_is_gone_on_with(
    audit: Audit, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    before = audit.first
    audit.world.verified_backup()
    with monkeypatch.context() as dying:
        dying.setattr(purging, "_remove", _dies)
        with pytest.raises(Killed):
            audit.purge()
    assert audit.rows() == []
    # Whoever makes partitions leaves it alone, and the check says who goes on with it.
    [outcome] = ensure_months(audit.connection, "audit_log", [MONTH])
    assert outcome.action == "left to the archive"
    [finding] = coverage(audit.connection, "audit_log", []).findings
    assert "run archive_audit_log" in finding.next_step

    # In a database that was dumped and restored it has another oid, and is known by its rows.
    audit.connection.execute("UPDATE ops.audit_archive SET relation = 4000000000")
    if ending == "refused":
        audit.connection.execute("UPDATE audit_log_2017_03 SET user_agent = 'another'")
        with pytest.raises(Refused, match="that is another table now"):
            audit.purge()
        return
    if ending == "put back":
        add_hold(audit.connection, month=MONTH, reason="a case")
    assert audit.purge().outcome == ending
    assert audit.rows() == ([] if ending == "purged" else before)
    assert audit.states() == ["purged" if ending == "purged" else "frozen"]


def _dies(*args: object) -> None:
    raise Killed


@pytest.mark.usefixtures("begins_with_frozen_log")
def test_a_late_row_keeps_its_month_until_it_is_proven_too(audit: Audit) -> None:
    audit.row(agent="late")
    before = audit.rows()
    audit.world.verified_backup()
    assert audit.purge().outcome == "exported again"
    assert (audit.rows(), audit.states()) == (before, ["superseded", "archived"])
    assert audit.purged().number == 2
    audit.back()
    assert audit.rows() == before


@pytest.mark.usefixtures("begins_with_purged_log")
def test_a_late_row_of_a_purged_month_becomes_its_next_generation(audit: Audit) -> None:
    first = audit.first
    ensure_months(audit.connection, "audit_log", [MONTH])
    audit.row(agent="late")
    before = sorted([*first, *audit.rows()], key=lambda row: str(row[0]))
    assert audit.purged().number == 2
    audit.back()
    assert audit.rows() == before
    # Its days are over: both generations' rows are one generation before they go again.
    run = replace(audit.run, clock=lambda: datetime.now(UTC) + LATER)
    assert audit.purge(run).outcome == "exported again"
    audit.archive()
    audit.world.verified_backup()
    assert audit.purge(run).outcome == "purged"
    audit.back()
    assert audit.rows() == before


@pytest.mark.usefixtures("begins_with_purged_log")
def test_what_was_brought_back_stays_for_its_days_and_leaves_by_its_first_proof(
    audit: Audit,
) -> None:
    audit.back(days=14)
    assert audit.purge().outcome == "waits"
    run = replace(audit.run, clock=lambda: datetime.now(UTC) + timedelta(days=15))
    assert audit.purge(run).outcome == "purged"
    assert audit.states() == ["purged"]


@pytest.mark.usefixtures("begins_with_frozen_log")
@pytest.mark.parametrize("kind", ["month", "user", "family", "member"])
def test_a_hold_keeps_the_trail_of_whom_it_is_about(audit: Audit, kind: str) -> None:
    user, family, stranger = audit.world.users[0], audit.world.families[0], audit.world.users[2]
    if kind == "member":
        family = audit.world.families[1]
        audit.connection.execute(
            "INSERT INTO family_members (family_id, user_id) VALUES (%s, %s)", (family, user)
        )
    audit.world.verified_backup()
    hold = add_hold(
        audit.connection,
        month=MONTH if kind == "month" else None,
        user_id=user if kind == "user" else None,
        family_id=family if kind in {"family", "member"} else None,
        reason="a case",
    )
    held = audit.purge()
    assert (held.outcome, len(audit.rows())) == ("waits", 3)
    assert f"hold {hold.id}" in held.why
    release_hold(audit.connection, hold.id, reason="over")
    add_hold(audit.connection, user_id=stranger, reason="of nobody here")
    assert audit.purge().outcome == "purged"


@pytest.mark.usefixtures("begins_with_frozen_log")
def test_a_hold_that_comes_after_the_gates_keeps_the_month(audit: Audit) -> None:
    audit.world.verified_backup()
    plan = plan_audit_purge(audit.run, audit.standing())
    add_hold(audit.connection, user_id=audit.world.users[0], reason="a case")
    assert purge_audit_month(audit.run, plan).outcome == "put back"
    assert (len(audit.rows()), audit.states()) == (3, ["frozen"])


@pytest.mark.usefixtures("begins_with_frozen_log")
def test_a_month_that_a_view_reads_is_where_it_was_and_the_view_is_named(audit: Audit) -> None:
    audit.world.verified_backup()
    rows = audit.rows()
    audit.connection.execute("CREATE VIEW trail AS SELECT action FROM audit_log_2017_03")
    with pytest.raises(Refused, match="trail"):
        audit.purge()
    assert audit.rows() == rows
    assert audit.states() == ["frozen"]
    audit.connection.execute("DROP VIEW trail")
    assert audit.purge().outcome == "purged"


@pytest.mark.usefixtures("begins_with_frozen_log")
def test_nothing_is_purged_whose_proof_the_bucket_has_no_record_of(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit.world.verified_backup()

    def refuse(*_: object) -> None:
        raise OpsError("bucket", cause="it takes nothing", next_step="see to it")

    with monkeypatch.context() as patch:
        patch.setattr(keeping, "put_document", refuse)
        worked = work_on_audit_months(audit.run, [], days=1, tier="Bulk")
    assert [failed.name for failed in worked.failed] == [
        f"record of audit log of {MONTH} in the bucket"
    ]
    assert audit.states() == ["frozen"]
    work_on_audit_months(audit.run, [], days=1, tier="Bulk").refuse_failures("audit log")
    assert audit.states() == ["purged"]


@pytest.mark.usefixtures("begins_with_purged_log")
def test_a_month_comes_back_into_a_database_that_knows_the_bucket_alone(audit: Audit) -> None:
    before = audit.first
    assert record_audit_generations(audit.run).results == ["2017-03 generation 1: purged"]
    assert record_audit_generations(audit.run).results == []
    audit.connection.execute("DELETE FROM ops.audit_archive")
    [[line]] = adopt_audit(audit.run, apply=False).results
    assert line.endswith("is adopted: purged")
    assert audit.states() == []
    adopt_audit(audit.run, apply=True).refuse_failures("adoption")
    assert audit.states() == ["purged"]
    assert adopt_audit(audit.run, apply=True).results == [()]
    audit.back()
    assert audit.rows() == before


@pytest.mark.usefixtures("begins_with_frozen_log")
def test_its_objects_are_looked_for_and_copied_like_those_of_segments(
    audit: Audit, second_bucket: Bucket
) -> None:
    generation = audit.standing()
    assert look(audit.connection, audit.world.bucket).problems == {}
    audit.world.second = second_bucket
    names = {item.generation for item in lacking(audit.world.run)}
    assert names == {"audit log of 2017-03 generation 1"}
    closed = [g for g in plan_audit_purge(audit.run, generation).gates if not g.passed]
    assert "second copy" in {gate.name for gate in closed}
    part = generation.parts()[0].stored
    delete_version(audit.world.bucket, part.key, part.version_id)
    [(name, problems)] = look(audit.connection, audit.world.bucket).problems.items()
    assert name == generation.name
    assert part.key in problems[0]


def test_the_days_job_does_all_of_it_and_a_run_by_hand_only_looks(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "FT_DATABASE_URL": audit.world.database.url,
        "FT_ARCHIVE_BUCKET": audit.world.bucket.name,
        "FT_PURGE_ENABLED": "true",
        "FT_PURGE_GRACE_DAYS": "0",
    }.items():
        monkeypatch.setenv(name, value)
    before = audit.rows()

    def run(**config: object) -> dg.ExecuteInProcessResult:
        ops = {"archived_audit_log": {"config": config}}
        with dg.DagsterInstance.ephemeral() as instance:
            job = defs.resolve_job_def("archive_audit_log")
            return job.execute_in_process(instance=instance, run_config={"ops": ops})

    assert run().get_asset_materialization_events() == []
    assert audit.states() == []
    run(dry_run=False)
    assert (audit.states(), audit.rows()) == (["frozen"], before)
    audit.world.verified_backup()
    run(dry_run=False)
    assert (audit.states(), audit.rows()) == (["purged"], [])
    run(dry_run=False, bring_back=["2017-03"])
    assert audit.rows() == before

    def agrees() -> bool:
        with dg.DagsterInstance.ephemeral() as instance:
            job = defs.resolve_job_def("check_archive_records")
            result = job.execute_in_process(instance=instance)
        found = {e.check_name: e for e in result.get_asset_check_evaluations()}
        return found["archive_agrees_with_bucket"].passed

    assert agrees()
    audit.connection.execute("DELETE FROM ops.audit_archive")
    assert not agrees()


@pytest.mark.usefixtures("begins_with_frozen_log")
@pytest.mark.parametrize("lost", ["ops.audit_archive", "ops.archive"])
def test_a_ledger_that_cannot_be_compared_hides_nothing_of_the_other(
    audit: Audit, lost: str
) -> None:
    record_audit_generations(audit.run)
    audit.world.fill()
    audit.world.archived_and_purged()
    ship_records(audit.world.run)
    for ledger in ("ops.archive", "ops.audit_archive"):
        rename = f"ALTER TABLE {ledger} RENAME TO gone"
        query = rename if ledger == lost else f"DELETE FROM {ledger}"
        audit.connection.execute(query.encode())
    found = adopt_both(audit.world.run, 7, apply=False)
    [problem] = found.problems
    assert lost in problem.cause
    assert problem.next_step
    [change] = found.changes
    assert change.startswith("audit log of" if lost == "ops.archive" else "2017-03 generation 1")


@pytest.mark.usefixtures("begins_with_frozen_log")
def test_nothing_is_exported_that_is_not_in_the_log(audit: Audit) -> None:
    """What a dead run wrote of a generation, and never recorded, goes; what is recorded stays."""
    generation = audit.standing()
    record_audit_generations(audit.run)
    rows = live_rows(audit.run, table_of(audit.run, generation))
    with pytest.raises(Refused, match="is the manifest of a proven generation"):
        export_month(audit.run, generation, rows)
    assert look(audit.connection, audit.world.bucket).problems == {}


@pytest.mark.usefixtures("begins_with_purged_log")
def test_the_second_copy_is_filled_by_what_the_ledger_names(
    audit: Audit, second_bucket: Bucket
) -> None:
    audit.back()
    audit.world.second = second_bucket
    assert lacking(audit.world.run) != []
    fill(audit.world.run, retrieve=False).refuse_failures("second copy")
    assert lacking(audit.world.run) == []


def test_a_proven_generation_goes_once_each_of_its_rows_is_proven_in_the_next_one(
    audit: Audit, second_bucket: Bucket
) -> None:
    audit.world.second = second_bucket
    first = audit.archive()
    audit.row(agent="late")
    audit.world.verified_backup()
    assert audit.purge().outcome == "exported again"
    assert superseded_objects(audit.connection) == []
    audit.archive()
    # The bucket has to know of the second before the first may go.
    [failed] = remove_superseded(audit.run).failed
    assert "archive_audit_log writes it" in failed.cause
    # And that it replaces the first, too.
    audit.connection.execute(
        "UPDATE ops.audit_archive SET recorded_at = frozen_at WHERE generation = 2"
    )
    [failed] = remove_superseded(audit.run).failed
    assert "archive_audit_log writes it" in failed.cause
    record_audit_generations(audit.run).refuse_failures("records")
    assert [replaced.name for replaced, _ in superseded_objects(audit.connection)] == [first.name]
    remove_superseded(audit.world.run).refuse_failures("collection")
    for bucket in (audit.world.bucket, second_bucket):
        assert not any(any(under(bucket, item.stored.key)) for item in first.objects)
    assert [len(g.objects) > 0 for g in generations(audit.connection, MONTH, LEDGER)] == [
        False,
        True,
    ]
    assert look(audit.connection, audit.world.bucket).problems == {}
    before = audit.rows()
    audit.world.verified_backup()
    assert audit.purge().outcome == "purged"
    audit.back()
    assert audit.rows() == before


@pytest.mark.usefixtures("begins_with_frozen_log")
@pytest.mark.parametrize(
    "what",
    [
        "deleted",
        pytest.param("changed", marks=pytest.mark.chaos),
        pytest.param("other columns", marks=pytest.mark.chaos),
    ],
)
def test_a_generation_stays_that_alone_has_a_row_as_it_was(audit: Audit, what: str) -> None:
    """Whoever tampers with the trail, and lets it be exported again, does not get the first one."""
    first = audit.standing()
    audit.connection.execute("ALTER TABLE audit_log DISABLE TRIGGER USER")
    audit.connection.execute(
        {
            "deleted": "DELETE FROM audit_log WHERE user_agent = 'Safari'",
            "changed": "UPDATE audit_log SET action = 'read' WHERE user_agent = 'Safari'",
            "other columns": "ALTER TABLE audit_log ADD COLUMN origin text",
        }[what]
    )
    audit.world.verified_backup()
    assert audit.purge().outcome == "exported again"
    audit.archive()
    record_audit_generations(audit.run).refuse_failures("records")
    [failed] = remove_superseded(audit.run).failed
    reason = {"other columns": "can't be compared"}.get(what, "1 of its rows")
    assert reason in failed.cause
    assert all(any(under(audit.world.bucket, item.stored.key)) for item in first.objects)


@pytest.mark.usefixtures("begins_with_purged_log")
def test_a_drill_takes_the_audit_logs_months_too(audit: Audit) -> None:
    held = hold_drill(audit.world.run, PRICES, dollars=5)
    assert held is not None
    assert (held.state, held.drill.subject) == ("proven", f"audit log of {MONTH}")
    [proof] = proofs(audit.connection, before=datetime.now(UTC))
    assert proof.drilled_at is not None
    assert judge(audit.connection, datetime.now(UTC), oldest_days=1).problems == ()
    with pytest.raises(Refused, match="archive_status"):
        hold_drill(audit.world.run, PRICES, dollars=5, month=MONTH)
    [generation] = generations(audit.connection, MONTH, LEDGER)
    part = generation.parts()[0].stored
    delete_version(audit.world.bucket, part.key, part.version_id)
    held = hold_drill(audit.world.run, PRICES, dollars=5, month=MONTH, ledger=LEDGER)
    assert held is not None
    assert held.state == "refuted"
    [problem] = judge(audit.connection, datetime.now(UTC), oldest_days=1).problems
    assert f"audit log of {MONTH}" in problem


@pytest.mark.usefixtures("begins_with_frozen_log")
def test_database_and_bucket_are_compared(audit: Audit) -> None:
    def differences() -> list[str]:
        worked = adopt_audit(audit.run, apply=False)
        worked.refuse_failures("adoption")
        return [line for lines in worked.results for line in lines]

    record_audit_generations(audit.run).refuse_failures("records")
    before = snapshot(audit)
    audit.row(agent="late")
    audit.world.verified_backup()
    audit.purge()
    audit.archive()
    record_audit_generations(audit.run).refuse_failures("records")
    assert differences() == []

    # A database of an earlier moment learns what has replaced what it knows.
    audit.connection.execute("DELETE FROM ops.audit_archive")
    restore(audit, before)
    assert differences() == [
        f"audit log of {MONTH} generation 2 is adopted: frozen",
        f"audit log of {MONTH} generation 1 is brought up to date: superseded",
    ]
    adopt_audit(audit.run, apply=True).refuse_failures("adoption")
    assert audit.states() == ["superseded", "frozen"]
    assert differences() == []

    # What the bucket has lost is written again.
    record_audit_generations(audit.run).refuse_failures("records")
    for found in list(objects(audit.world.bucket, "archive/audit_log/records/")):
        for version in list(under(audit.world.bucket, found.key)):
            delete_version(audit.world.bucket, version.key, version.version_id)
    assert len(differences()) == 2
    adopt_audit(audit.run, apply=True).refuse_failures("adoption")
    assert len(record_audit_generations(audit.run).results) == 2
    assert differences() == []


def snapshot(audit: Audit) -> list[object]:
    rows = audit.connection.execute("SELECT to_jsonb(a) FROM ops.audit_archive AS a").fetchall()
    return [row for (row,) in rows]


def restore(audit: Audit, rows: list[object]) -> None:
    for row in rows:
        audit.connection.execute(
            "INSERT INTO ops.audit_archive"
            " SELECT (jsonb_populate_record(NULL::ops.audit_archive, %s)).*",
            (Jsonb(row),),
        )
