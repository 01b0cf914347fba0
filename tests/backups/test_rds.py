"""RDS: moto where it is faithful, a fake that can be late, stale, missing or failing elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import boto3
import psycopg
import pytest
from psycopg import conninfo, sql

from ft_ops.backups import newest_verified_backup
from ft_ops.backups.drill.drill import Drill, run_drill
from ft_ops.backups.drill.plan import DrillPlan, moment_plan, named_plan, newest_plan
from ft_ops.backups.inventory.inventory import Inventory, Item, take_inventory
from ft_ops.backups.inventory.ledger import entries
from ft_ops.backups.provider import ContentError, Taken
from ft_ops.backups.rds.copy import url_at
from ft_ops.backups.rds.instances import Patience
from ft_ops.backups.rds.provider import RESOLUTION, RdsProvider
from ft_ops.backups.rds.storage import instance_storage
from ft_ops.backups.retention.deletion import deletions
from ft_ops.backups.retention.retention import Rules, plan_retention
from ft_ops.backups.take.take import take_full, take_increment
from ft_ops.errors import OpsError, Refused
from ft_ops.pg.connect import Connection
from ft_ops.s3.bucket import Bucket
from tests.backups.fake_rds import INSTANCE, FakeRds
from tests.fixtures.postgres import Database

NOTES = "CREATE TABLE notes (id int PRIMARY KEY, note text)"


@dataclass(slots=True)
class Cloud:
    """An instance at RDS with a region for copies, and the live database that it stands for."""

    connection: Connection
    bucket: Bucket
    rds: FakeRds
    copies: FakeRds
    provider: RdsProvider
    clock: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def snapshot_url(self, name: str) -> str:
        """The database that stands for a snapshot, and for each instance restored from it."""
        return _url_at(self.provider.url, name)

    def full(self) -> Taken:
        return self._take(take_full)

    def increment(self) -> Taken:
        return self._take(take_increment)

    def drill(self, plan: DrillPlan | None = None) -> Drill:
        return run_drill(
            self.connection,
            self.provider,
            self.bucket,
            plan or newest_plan(entries(self.connection)),
            now=datetime.now(UTC),
            run_id="tests",
            log=lambda line: None,
        )

    def _take(self, take: Callable[..., Taken]) -> Taken:
        self.clock += timedelta(minutes=1)
        return take(
            self.connection,
            self.provider,
            self.bucket,
            now=self.clock,
            run_id="tests",
            log=lambda line: None,
        )


@pytest.fixture
def cloud(
    template: Database, database: Database, connection: Connection, bucket: Bucket
) -> Iterator[Cloud]:
    copies: list[str] = []

    def clone(name: str) -> None:
        copies.append(_copy_of(database.name, name))
        _copy_database(database, template, copies[-1])

    def drop(name: str) -> None:
        with psycopg.connect(database.admin_url, autocommit=True) as admin:
            admin.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    rds, other = FakeRds(clone), FakeRds(clone)
    seconds = count()
    provider = RdsProvider(
        url=database.url,
        instance=INSTANCE,
        client=rds.client(),
        region="us-east-1",
        copies=other.client(),
        copies_key=None,
        patience=Patience(10, sleep=lambda _: None, clock=lambda: float(next(seconds))),
        arrival_seconds=5,
        # An address stands for a database here.
        url_of=lambda url, host, _: _url_at(url, host),
        resolution=timedelta(milliseconds=10),
    )
    connection.execute(NOTES)
    connection.execute("INSERT INTO notes SELECT n, n::text FROM generate_series(1, 50) AS n")
    yield Cloud(connection, bucket, rds, other, provider)
    for name in copies:
        drop(name)


def _url_at(url: str, address: str) -> str:
    live = str(conninfo.conninfo_to_dict(url)["dbname"])
    return conninfo.make_conninfo(url, dbname=_copy_of(live, address))


def _copy_of(live: str, snapshot: str) -> str:
    """Its name: other workers' snapshots on the same server are called the same."""
    return f"{live} {snapshot}"


def _copy_database(database: Database, template: Database, name: str) -> None:
    """A clone of the tests' template, with the rows of the tables that the tests write."""
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} OWNER ft_ops TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template.name)
            )
        )
    target = conninfo.make_conninfo(database.admin_url, dbname=name)
    with (
        psycopg.connect(database.admin_url) as source,
        psycopg.connect(target) as copy,
    ):
        copy.execute("SET ROLE ft_ops")
        copy.execute(NOTES)
        copy.execute("RESET ROLE")
        # Drills refer to backups, and no trigger may act on a row again.
        copy.execute("SET session_replication_role = replica")
        ours = ("ops.backups", "ops.restore_drills", "ops.backup_claims")
        for table in ("notes", *ours, "audit_log"):
            # A partitioned table has to be asked; of the others this leaves generated columns out.
            query = (
                "COPY (SELECT * FROM {}) TO STDOUT" if table == "audit_log" else "COPY {} TO STDOUT"
            )
            rows = sql.SQL(query).format(_identifier(table))
            into = sql.SQL("COPY {} FROM STDIN").format(_identifier(table))
            with source.cursor().copy(rows) as read, copy.cursor().copy(into) as write:
                for block in read:
                    write.write(block)
        for sequence, at in source.execute(
            "SELECT format('%I.%I', schemaname, sequencename), last_value FROM pg_sequences"
            " WHERE last_value IS NOT NULL"
        ).fetchall():
            copy.execute("SELECT setval(to_regclass(%s), %s)", (sequence, at))


def _identifier(table: str) -> sql.Identifier:
    return sql.Identifier(*table.split("."))


def test_a_recovery_to_a_moment_proves_no_snapshot(cloud: Cloud) -> None:
    """It is of what RDS itself keeps: the snapshot of the full was never restored."""
    cloud.rds.protects = True
    full = cloud.full()
    cloud.connection.execute("INSERT INTO notes VALUES (51, 'later')")
    increment = cloud.increment()
    plan = moment_plan(entries(cloud.connection))
    drill = cloud.drill(plan)
    assert (drill.source.backup, drill.restored_to) == (None, increment.point.at)
    assert newest_verified_backup(cloud.connection) is None
    assert {entry.verdict for entry in entries(cloud.connection)} == {None}
    assert "/moments/" in drill.certificate
    # The temporary instance is gone, although it had inherited its source's protection.
    assert cloud.rds.instances == {}
    assert cloud.rds.deleted == [f"ft-drill-{increment.point.name}"]

    cloud.drill(newest_plan(entries(cloud.connection), by_log=False))
    verified = newest_verified_backup(cloud.connection)
    assert verified is not None
    assert (verified.name, verified.restored_to) == (full.point.name, full.point.at)


def test_a_damaged_snapshot_is_not_proven_by_the_way_to_a_moment(cloud: Cloud) -> None:
    full = cloud.full()
    with psycopg.connect(cloud.snapshot_url(full.point.name), autocommit=True) as copy:
        copy.execute("DELETE FROM notes WHERE id = 7")
    cloud.increment()
    cloud.drill(newest_plan(entries(cloud.connection)))
    assert newest_verified_backup(cloud.connection) is None


def test_a_snapshot_with_the_passwords_of_its_day_is_let_into(cloud: Cloud) -> None:
    """Rotated since: the copy's master is given a new password, and gives one to our role."""
    full = cloud.full()
    with psycopg.connect(cloud.snapshot_url(full.point.name), autocommit=True) as admin:
        master = str(admin.execute("SELECT current_user").fetchone()[0])  # type: ignore[index]
    cloud.rds.master = master
    tried = []

    def rotated(url: str, host: str, _: int) -> str:
        tried.append(host)
        return conninfo.make_conninfo(_url_at(url, host), user="ft_ops_of_today")

    cloud.provider = replace(cloud.provider, url_of=rotated)
    with pytest.raises(OpsError, match="there is no way to give it another"):
        cloud.drill(newest_plan(entries(cloud.connection), by_log=False))
    # It was tried, in vain: that role did not exist on that day. Nothing is said of the snapshot.
    assert "MasterUserPassword" in cloud.rds.modified[0]
    (entry,) = entries(cloud.connection)
    assert (entry.verdict, entry.state) == (None, "complete")
    assert entry.undecided is not None


def test_a_login_that_is_refused_takes_no_trust_away(cloud: Cloud) -> None:
    full = cloud.full()
    plan = newest_plan(entries(cloud.connection), by_log=False)
    cloud.drill(plan)
    good = cloud.provider
    cloud.provider = replace(
        good, url_of=lambda url, host, _: conninfo.make_conninfo(_url_at(url, host), user="nobody")
    )
    with pytest.raises(OpsError, match="it refuses the password of today"):
        cloud.drill(plan)
    verified = newest_verified_backup(cloud.connection)
    assert verified is not None
    assert verified.name == full.point.name
    (candidate,) = (item.candidate for item in _inventory(cloud))
    assert candidate is not None
    assert candidate.trust == "verified"


def test_an_odd_status_takes_a_backup_out_of_sight_and_no_more(cloud: Cloud) -> None:
    """ "modifying" for a moment, eight days after it was taken: nothing is left over of it."""
    full = cloud.full()
    cloud.drill(newest_plan(entries(cloud.connection), by_log=False))
    cloud.connection.execute("UPDATE ops.backups SET point_at = point_at - interval '8 days'")
    cloud.full()
    cloud.drill(newest_plan(entries(cloud.connection), by_log=False))
    cloud.rds.statuses[full.point.name] = "modifying"
    odd = Inventory(datetime.now(UTC), _inventory(cloud))
    assert {item.problem for item in odd.items if item.name == full.point.name} == {
        "missing: its status is modifying"
    }
    rules = Rules(days=7, weeks=4, months=12, floor=1, stale=timedelta(hours=48))
    assert deletions(odd, plan_retention(odd.candidates, rules, odd.taken_at), rules) == []
    del cloud.rds.statuses[full.point.name]
    assert [item.problem for item in _inventory(cloud)] == [None, None]


def test_a_snapshot_that_was_tagged_since_is_not_deleted(cloud: Cloud) -> None:
    cloud.full()
    (stored,) = cloud.provider.stored_backups()
    cloud.provider.hold(stored)
    with pytest.raises(Refused, match="it carries the tag ft-ops:keep"):
        cloud.provider.delete(stored, [], lambda line: None)
    assert len(cloud.rds.snapshots) == 1


@pytest.mark.chaos
def test_a_fulls_own_point_is_restored_from_its_snapshot(cloud: Cloud) -> None:
    full = cloud.full()
    cloud.connection.execute("DELETE FROM notes")
    drill = cloud.drill(named_plan(entries(cloud.connection), full.point.name))
    assert drill.restored_to == full.point.at


def test_a_restore_that_came_out_wrong_is_named(cloud: Cloud) -> None:
    full = cloud.full()
    with psycopg.connect(cloud.snapshot_url(full.point.name), autocommit=True) as copy:
        copy.execute("DELETE FROM notes WHERE id = 7")
    with pytest.raises(OpsError, match=r"fingerprint: public\.notes: 49 rows, 50 at the point"):
        cloud.drill(named_plan(entries(cloud.connection), full.point.name))
    assert newest_verified_backup(cloud.connection) is None


def test_a_stale_recovery_is_named(cloud: Cloud) -> None:
    cloud.full()
    increment = cloud.increment()
    cloud.rds.restores_stale = True
    with pytest.raises(ContentError, match="lacks what was committed before"):
        cloud.drill()
    assert cloud.rds.instances == {}
    known = {entry.name: entry for entry in entries(cloud.connection)}
    assert "lacks what was" in str(known[increment.point.name].log_finding)
    cloud.rds.restores_stale = False
    cloud.increment()
    cloud.drill(moment_plan(entries(cloud.connection)))
    assert {entry.log_finding for entry in entries(cloud.connection)} == {None}


def test_a_log_that_lags_is_waited_for_and_then_named(cloud: Cloud) -> None:
    cloud.rds.log_delay = timedelta(minutes=10)
    with pytest.raises(OpsError, match=f"RDS can recover {INSTANCE} to .* and the point is at"):
        cloud.full()
    assert [(e.state, bool(e.error)) for e in entries(cloud.connection)] == [("failed", True)]
    state = cloud.provider.log_state(cloud.connection, None)
    assert 590 < state.lag_seconds < 660


@pytest.mark.parametrize(
    ("retention_days", "ages", "problem"),
    [
        (7, [1, 25], None),
        (0, [], "automated backups are off: there is no log to recover by"),
        (3, [1], "automated backups are kept 3 days, and 7 are promised"),
        (7, [], "there is no automated snapshot"),
        (7, [27, 51], "the newest automated snapshot is of .*: RDS skips it during a copy"),
    ],
)
def test_what_is_wrong_with_rds_own_backups_is_named(
    cloud: Cloud, retention_days: int, ages: list[int], problem: str | None
) -> None:
    cloud.rds.retention_days = retention_days
    cloud.rds.automated = tuple(timedelta(hours=age) for age in ages)
    found = "; ".join(cloud.provider.log_state(cloud.connection, None).problems)
    assert re.fullmatch(problem or "", found)


def test_a_copy_that_is_refused_is_named_and_made_the_next_time(cloud: Cloud) -> None:
    cloud.copies.refuses_copies = True
    with pytest.raises(OpsError, match=r"1 of 1 failed: full-.*: CopyDBSnapshot was refused"):
        cloud.full()
    # The backup itself is none the worse for it.
    assert [entry.state for entry in entries(cloud.connection)] == ["complete"]
    cloud.copies.refuses_copies = False
    # What a copy of an encrypted snapshot needs.
    cloud.provider = replace(cloud.provider, copies_key="alias/recovery")
    cloud.full()
    assert cloud.copies.snapshots.keys() == cloud.rds.snapshots.keys()
    assert {copy["KmsKeyId"] for copy in cloud.copies.snapshots.values()} == {"alias/recovery"}


def test_a_copy_that_failed_is_made_anew(cloud: Cloud) -> None:
    cloud.copies.polls = 0
    cloud.copies.fails = frozenset({"full-"})
    first = cloud.full().point.name
    failed = cloud.copies.snapshots[first]
    cloud.full()
    assert cloud.copies.deleted == [first]
    assert cloud.copies.snapshots[first] is not failed


def test_a_snapshot_that_fails_is_named(cloud: Cloud) -> None:
    cloud.rds.fails = frozenset({"full-"})
    with pytest.raises(OpsError, match=r"RDS snapshot full-.*: its status is failed"):
        cloud.full()


def test_an_instance_that_can_not_be_restored_is_named_and_deleted(cloud: Cloud) -> None:
    cloud.full()
    cloud.rds.fails = frozenset({"ft-drill-"})
    with pytest.raises(OpsError, match=r"RDS instance ft-drill-.*: its status is failed"):
        cloud.drill()
    assert cloud.rds.instances == {}


def test_what_takes_too_long_is_named(cloud: Cloud) -> None:
    cloud.rds.polls = 1000
    with pytest.raises(OpsError, match="its status is creating after 10 s"):
        cloud.full()


def test_instances_of_killed_drills_are_deleted_first(cloud: Cloud) -> None:
    cloud.full()
    cloud.rds.instances["ft-drill-left"] = {
        "DBInstanceIdentifier": "ft-drill-left",
        "TagList": [{"Key": "ft-ops:drill-of", "Value": INSTANCE}],
    }
    cloud.rds.instances["ft-drill-of-others"] = {
        "DBInstanceIdentifier": "ft-drill-of-others",
        "TagList": [{"Key": "ft-ops:drill-of", "Value": "another"}],
    }
    cloud.drill()
    assert cloud.rds.deleted[0] == "ft-drill-left"
    assert list(cloud.rds.instances) == ["ft-drill-of-others"]


def test_an_instance_that_can_not_be_deleted_now_keeps_no_drill_from_being_held(
    cloud: Cloud,
) -> None:
    full = cloud.full().point.name
    for name in ("ft-drill-at-work", "ft-drill-left"):
        tags = [{"Key": "ft-ops:drill-of", "Value": INSTANCE}]
        cloud.rds.instances[name] = {"DBInstanceIdentifier": name, "TagList": tags}
    cloud.rds.busy = frozenset({"ft-drill-at-work"})
    cloud.drill(newest_plan(entries(cloud.connection), by_log=False))
    assert list(cloud.rds.instances) == ["ft-drill-at-work"]
    assert cloud.rds.deleted == ["ft-drill-left", f"ft-drill-{full}"]


def test_what_was_found_stands_though_the_copy_can_not_be_removed(cloud: Cloud) -> None:
    full = cloud.full().point.name
    with psycopg.connect(cloud.snapshot_url(full), autocommit=True) as copy:
        copy.execute("DELETE FROM notes WHERE id = 7")
    cloud.rds.refuses_deletions = True
    with pytest.raises(OpsError, match="49 rows, 50 at the point") as refuted:
        cloud.drill(named_plan(entries(cloud.connection), full))
    assert "DeleteDBInstance was refused" in str(refuted.value.__notes__)
    (entry,) = entries(cloud.connection)
    assert entry.verdict == "refuted"


def test_an_instance_that_somebody_made_under_a_drills_name_is_left_alone(cloud: Cloud) -> None:
    """A person restored that snapshot at night, to take rows out of it."""
    name = f"ft-drill-{cloud.full().point.name}"
    cloud.rds.instances[name] = {"DBInstanceIdentifier": name, "TagList": []}
    with pytest.raises(OpsError, match="was refused"):
        cloud.drill(newest_plan(entries(cloud.connection), by_log=False))
    assert list(cloud.rds.instances) == [name]
    assert cloud.rds.deleted == []


def test_a_copy_that_can_not_be_made_stands_before_no_other(cloud: Cloud) -> None:
    """Its key is disabled, say: what is newer is copied all the same, and it is named."""
    cloud.copies.refuses_copies = True
    names = []
    for _ in range(3):
        with pytest.raises(OpsError):
            cloud.full()
        names = [entry.name for entry in entries(cloud.connection)]
    cloud.copies.refuses_copies = False
    cloud.copies.never_copied = frozenset(names[1:2])
    with pytest.raises(OpsError, match=f"1 of 3 failed: {names[1]}: "):
        cloud.provider.replicate(lambda line: None)
    assert list(cloud.copies.snapshots) == [names[2], names[0]]


@pytest.mark.parametrize("theirs", ["arn:aws:rds:eu-central-1:1:snapshot:theirs", None])
def test_what_is_no_copy_of_ours_and_has_its_name_is_left_alone(
    cloud: Cloud, theirs: str | None
) -> None:
    """Another instance's, or a snapshot that somebody took there by hand: that has no source."""
    name = cloud.full().point.name
    del cloud.copies.snapshots[name]["SourceDBSnapshotIdentifier"]
    if theirs is not None:
        cloud.copies.snapshots[name]["SourceDBSnapshotIdentifier"] = theirs
    (item,) = _inventory(cloud)
    assert item.replica is not None
    assert item.replica.problem is not None
    assert item.replica.problem.endswith(f"is a copy of {theirs or 'nothing from another region'}")
    (stored,) = cloud.provider.stored_backups()
    cloud.provider.delete(stored, [], lambda line: None)
    assert (list(cloud.rds.snapshots), list(cloud.copies.snapshots)) == ([], [name])


def test_a_snapshot_whose_copy_can_not_be_deleted_stays_and_is_tried_again(cloud: Cloud) -> None:
    cloud.full()
    (stored,) = cloud.provider.stored_backups()
    cloud.copies.refuses_deletions = True
    with pytest.raises(OpsError, match="was refused"):
        cloud.provider.delete(stored, [], lambda line: None)
    assert [backup.name for backup in cloud.provider.stored_backups()] == [stored.name]
    cloud.copies.refuses_deletions = False
    cloud.provider.delete(stored, [], lambda line: None)
    assert (cloud.rds.snapshots, cloud.copies.snapshots) == ({}, {})


def test_the_inventory_names_what_does_not_count(cloud: Cloud) -> None:
    full = cloud.full()
    cloud.copies.fails = frozenset({"full-"})
    cloud.copies.looked.clear()
    other = cloud.rds.snapshots[full.point.name] | {
        "DBSnapshotIdentifier": "full-of-another",
        "DbiResourceId": "db-TWO",
    }
    cloud.rds.snapshots["full-of-another"] = other
    cloud.rds.snapshots["made-by-hand"] = other | {"DBSnapshotIdentifier": "made-by-hand"}
    found = {item.name: item for item in _inventory(cloud)}
    assert found.keys() == {full.point.name, "full-of-another"}
    assert found["full-of-another"].problem == (
        "foreign: it is of the instance db-TWO, this one is db-ONE"
    )
    copy = found[full.point.name].replica
    assert copy is not None
    assert copy.problem == "its copy's status is creating"
    (again,) = [item for item in _inventory(cloud) if item.name == full.point.name]
    assert again.replica is not None
    assert again.replica.problem == "its copy's status is failed"

    # Deleted at RDS by somebody: no gate relies on it any more.
    cloud.drill(newest_plan(entries(cloud.connection), by_log=False))
    del cloud.rds.snapshots[full.point.name]
    (gone,) = [item for item in _inventory(cloud) if item.name == full.point.name]
    assert gone.problem is not None
    assert "it is not there any more" in gone.problem
    assert newest_verified_backup(cloud.connection) is None


def _inventory(cloud: Cloud) -> tuple[Item, ...]:
    return take_inventory(
        cloud.connection,
        cloud.provider,
        cloud.bucket,
        now=datetime.now(UTC),
        log=lambda line: None,
    ).items


def test_a_snapshot_is_held_and_deleted_with_its_copy(cloud: Cloud) -> None:
    cloud.full()
    (stored,) = cloud.provider.stored_backups()
    cloud.provider.hold(stored)
    assert cloud.provider.stored_backups()[0].is_held
    cloud.provider.release(stored)
    assert not cloud.provider.stored_backups()[0].is_held
    cloud.provider.delete(stored, [], lambda line: None)
    assert (cloud.rds.snapshots, cloud.copies.snapshots) == ({}, {})
    # Killed between the two, it is finished by another try.
    cloud.provider.delete(stored, [], lambda line: None)


def test_a_url_keeps_everything_but_its_place() -> None:
    url = url_at("postgresql://me:secret@old:5432/db?sslmode=verify-full", "new", 5433)
    assert conninfo.conninfo_to_dict(url) == {
        "user": "me",
        "password": "secret",
        "host": "new",
        "port": "5433",
        "dbname": "db",
        "sslmode": "verify-full",
    }


@pytest.fixture
def moto_provider(cloud: Cloud, aws: str) -> RdsProvider:
    """The same provider, speaking to moto's RDS in two regions."""
    client = boto3.client("rds", region_name="us-east-1")
    if not client.describe_db_instances()["DBInstances"]:
        client.create_db_instance(
            DBInstanceIdentifier=INSTANCE,
            DBInstanceClass="db.t4g.medium",
            Engine="postgres",
            AllocatedStorage=20,
            MasterUsername="postgres",
            MasterUserPassword="not a secret",
            BackupRetentionPeriod=7,
        )
    copies = boto3.client("rds", region_name="eu-west-1")
    return replace(cloud.provider, client=client, copies=copies, resolution=RESOLUTION)


def test_the_instances_storage_is_told(aws: str) -> None:
    client = boto3.client("rds", region_name="us-east-1")
    for name, most in (("grows", 50), ("stays", 20)):
        client.create_db_instance(
            DBInstanceIdentifier=name,
            DBInstanceClass="db.t4g.medium",
            Engine="postgres",
            AllocatedStorage=20,
            MaxAllocatedStorage=most,
            MasterUsername="postgres",
            MasterUserPassword="not a secret",
        )
    found = [instance_storage(client, name) for name in ("grows", "stays")]
    assert [(s.allocated_bytes >> 30, s.most_bytes >> 30) for s in found if s is not None] == [
        (20, 50),
        (20, 20),
    ]
    for name in ("grows", "stays"):
        client.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
    with pytest.raises(OpsError, match="grows"):
        instance_storage(client, "grows")


def test_the_requests_are_ones_that_rds_knows(
    cloud: Cloud, moto_provider: RdsProvider, tmp_path: Path
) -> None:
    cloud.provider = replace(moto_provider, copies=None)
    full = cloud.full()
    (stored,) = cloud.provider.stored_backups()
    assert (stored.name, stored.condition) == (full.point.name, "complete")
    cloud.provider.hold(stored)
    assert cloud.provider.stored_backups()[0].is_held
    increment = cloud.increment()
    assert {b.kind for b in cloud.provider.stored_backups()} == {"full", "increment"}
    for point in (full.point, increment.point):
        # moto's instance answers nobody: everything up to the connection is real.
        with (
            pytest.raises((OpsError, psycopg.OperationalError)),
            cloud.provider.restore(stored, point, lambda line: None),
        ):
            pass
    instances = cloud.provider.client.describe_db_instances()["DBInstances"]
    assert [i["DBInstanceIdentifier"] for i in instances] == [INSTANCE]
    cloud.provider.release(stored)
    for backup in cloud.provider.stored_backups():
        cloud.provider.delete(backup, [], lambda line: None)
    assert cloud.provider.stored_backups() == []


def test_an_instance_that_does_not_exist_is_named(moto_provider: RdsProvider) -> None:
    nowhere = replace(moto_provider, instance="nowhere")
    with pytest.raises(OpsError, match="RDS instance nowhere: DescribeDBInstances was refused"):
        nowhere.stored_backups()
