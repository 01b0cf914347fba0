"""An RDS that can be late, stale, missing or failing; what it restores are real databases.

Where moto is faithful (names, states, errors of single requests) the tests use moto. This is for
what it is not: time, failure, and an instance that one can connect to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast

from botocore.exceptions import ClientError
from mypy_boto3_rds import RDSClient

INSTANCE = "familytales"


@dataclass(slots=True)
class FakeRds:
    """The requests that the provider makes, by boto3's names.

    ``clone`` makes a copy of the live database under a name. ``polls`` is how often a new
    thing is looked at before it is ready, and ``log_delay`` how far the restorable time is
    behind; ``fails`` names what ends as failed. ``automated`` has the ages of the snapshots that
    RDS took by itself, over ``retention_days``; ``statuses`` are odd ones, of whatever reason.
    """

    clone: Callable[[str], None]
    polls: int = 1
    log_delay: timedelta = timedelta(seconds=-1)
    fails: frozenset[str] = frozenset()
    refuses_copies: bool = False
    never_copied: frozenset[str] = frozenset()
    refuses_deletions: bool = False
    busy: frozenset[str] = frozenset()
    restores_stale: bool = False
    protects: bool = False
    resource_id: str = "db-ONE"
    retention_days: int = 7
    automated: tuple[timedelta, ...] = (timedelta(hours=1), timedelta(hours=25))
    snapshots: dict[str, dict[str, object]] = field(default_factory=dict)
    instances: dict[str, dict[str, object]] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    looked: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, str] = field(default_factory=dict)
    modified: list[dict[str, object]] = field(default_factory=list)
    master: str | None = None

    def client(self) -> RDSClient:
        return cast(RDSClient, self)

    def get_paginator(self, operation: str) -> _Pages:
        return _Pages(getattr(self, operation))

    def describe_db_instances(self, DBInstanceIdentifier: str = "") -> dict[str, object]:  # noqa: N803
        source = {
            "DBInstanceIdentifier": INSTANCE,
            "DBInstanceClass": "db.t4g.medium",
            "DBInstanceStatus": "available",
            "DbiResourceId": self.resource_id,
            "BackupRetentionPeriod": self.retention_days,
            "PreferredBackupWindow": "01:00-01:30",
            "LatestRestorableTime": datetime.now(UTC) - self.log_delay,
            "DBSubnetGroup": {"DBSubnetGroupName": "private"},
            "VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-1", "Status": "active"}],
        }
        if DBInstanceIdentifier == INSTANCE:
            return {"DBInstances": [source]}
        if not DBInstanceIdentifier:
            return {"DBInstances": [source, *self.instances.values()]}
        if DBInstanceIdentifier not in self.instances:
            raise _refusal("DBInstanceNotFound", "DescribeDBInstances")
        found = self.instances[DBInstanceIdentifier]
        status = self._status(DBInstanceIdentifier)
        return {"DBInstances": [{**found, "DBInstanceStatus": status}]}

    def describe_db_snapshots(
        self,
        DBSnapshotIdentifier: str = "",  # noqa: N803
        DBInstanceIdentifier: str = "",  # noqa: N803
        SnapshotType: str = "manual",  # noqa: N803
    ) -> dict[str, object]:
        if SnapshotType == "automated":
            return {"DBSnapshots": [_automated(age) for age in self.automated]}
        found = list(self.snapshots.values())
        if DBSnapshotIdentifier:
            found = [s for s in found if s["DBSnapshotIdentifier"] == DBSnapshotIdentifier]
            if not found:
                raise _refusal("DBSnapshotNotFound", "DescribeDBSnapshots")
        return {
            "DBSnapshots": [
                {**s, "Status": self._status(str(s["DBSnapshotIdentifier"]))} for s in found
            ]
        }

    def create_db_snapshot(
        self,
        DBSnapshotIdentifier: str,  # noqa: N803
        DBInstanceIdentifier: str,  # noqa: N803
    ) -> None:
        self.clone(DBSnapshotIdentifier)
        self._add_snapshot(DBSnapshotIdentifier)

    def copy_db_snapshot(self, **request: str) -> None:
        assert request["SourceDBSnapshotIdentifier"].startswith("arn:")
        target = request["TargetDBSnapshotIdentifier"]
        if self.refuses_copies or target in self.never_copied:
            raise _refusal("SnapshotQuotaExceeded", "CopyDBSnapshot")
        if target in self.snapshots:
            raise _refusal("DBSnapshotAlreadyExists", "CopyDBSnapshot")
        self._add_snapshot(target)
        source = request["SourceDBSnapshotIdentifier"]
        self.snapshots[target]["SourceDBSnapshotIdentifier"] = source
        self.snapshots[target]["KmsKeyId"] = request.get("KmsKeyId")

    def delete_db_snapshot(self, DBSnapshotIdentifier: str) -> None:  # noqa: N803
        if self.refuses_deletions:
            raise _refusal("InvalidDBSnapshotState", "DeleteDBSnapshot")
        if self.snapshots.pop(DBSnapshotIdentifier, None) is None:
            raise _refusal("DBSnapshotNotFound", "DeleteDBSnapshot")
        self.deleted.append(DBSnapshotIdentifier)

    def add_tags_to_resource(self, ResourceName: str, Tags: list[dict[str, str]]) -> None:  # noqa: N803
        self._of_arn(ResourceName)["TagList"] = Tags

    def remove_tags_from_resource(self, ResourceName: str, TagKeys: list[str]) -> None:  # noqa: N803
        self._of_arn(ResourceName)["TagList"] = []

    def restore_db_instance_from_db_snapshot(self, **request: object) -> None:
        self._make_instance(str(request["DBInstanceIdentifier"]), request)
        self.instances[str(request["DBInstanceIdentifier"])]["Endpoint"] = {
            "Address": request["DBSnapshotIdentifier"],
            "Port": 5432,
        }

    def restore_db_instance_to_point_in_time(self, **request: object) -> None:
        assert isinstance(request["RestoreTime"], datetime)
        target = str(request["TargetDBInstanceIdentifier"])
        self._make_instance(target, request)
        self.instances[target]["Endpoint"] = {
            "Address": self._content_at(request["RestoreTime"]),
            "Port": 5432,
        }

    def modify_db_instance(self, DBInstanceIdentifier: str, **request: object) -> None:  # noqa: N803
        self.modified.append(request)
        self.instances[DBInstanceIdentifier].update(request)

    def delete_db_instance(self, DBInstanceIdentifier: str, **request: object) -> None:  # noqa: N803
        assert request == {"SkipFinalSnapshot": True, "DeleteAutomatedBackups": True}
        if self.refuses_deletions or DBInstanceIdentifier in self.busy:
            raise _refusal("InvalidDBInstanceState", "DeleteDBInstance")
        if self.instances[DBInstanceIdentifier].get("DeletionProtection"):
            raise _refusal("InvalidParameterCombination", "DeleteDBInstance")
        del self.instances[DBInstanceIdentifier]
        self.deleted.append(DBInstanceIdentifier)

    def _make_instance(self, identifier: str, request: dict[str, object]) -> None:
        if identifier in self.instances:
            raise _refusal("DBInstanceAlreadyExists", "RestoreDBInstance")
        assert request["PubliclyAccessible"] is False
        assert request["VpcSecurityGroupIds"] == ["sg-1"]
        self.instances[identifier] = {
            "DBInstanceIdentifier": identifier,
            "TagList": request["Tags"],
            "DeletionProtection": self.protects,
        }
        if self.master is not None:
            self.instances[identifier]["MasterUsername"] = self.master

    def _content_at(self, moment: datetime) -> str:
        """The first snapshot from then on; an older one when recovery goes wrong."""
        taken = {str(s["SnapshotCreateTime"]): name for name, s in self.snapshots.items()}
        later = [name for at, name in sorted(taken.items()) if at >= str(moment)]
        return min(taken.items())[1] if self.restores_stale else later[0]

    def _add_snapshot(self, identifier: str) -> None:
        self.snapshots[identifier] = {
            "DBSnapshotIdentifier": identifier,
            "DBInstanceIdentifier": INSTANCE,
            "DBSnapshotArn": f"arn:aws:rds:us-east-1:1:snapshot:{identifier}",
            "DbiResourceId": self.resource_id,
            "SnapshotCreateTime": datetime.now(UTC),
            "AllocatedStorage": 20,
            "TagList": [],
        }

    def _status(self, identifier: str) -> str:
        self.looked[identifier] = self.looked.get(identifier, 0) + 1
        if self.looked[identifier] <= self.polls:
            return "creating"
        if identifier in self.statuses:
            return self.statuses[identifier]
        return "failed" if any(identifier.startswith(f) for f in self.fails) else "available"

    def _of_arn(self, arn: str) -> dict[str, object]:
        return self.snapshots[arn.rpartition(":")[2]]


def _automated(age: timedelta) -> dict[str, object]:
    return {
        "DBSnapshotIdentifier": f"rds:{INSTANCE}-{age}",
        "SnapshotCreateTime": datetime.now(UTC) - age,
        "Status": "available",
    }


@dataclass(frozen=True, slots=True)
class _Pages:
    request: Callable[..., dict[str, object]]

    def paginate(self, **arguments: str) -> Iterator[dict[str, object]]:
        yield self.request(**arguments)


def _refusal(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no such thing"}}, operation)
