"""The temporary RDS instance of a drill: its shape, its place, and what shows how far it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

from psycopg import conninfo

from ft_ops.backups.points.points import RestorePoint
from ft_ops.backups.provider import ContentError, Examined
from ft_ops.pg.connect import connect
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement

if TYPE_CHECKING:
    from mypy_boto3_rds.type_defs import DBInstanceTypeDef


def url_at(url: str, host: str, port: int) -> str:
    """``url`` with another place in it: a restored instance has the same roles and passwords."""
    return conninfo.make_conninfo(url, host=host, port=port)


@dataclass(frozen=True, slots=True)
class RdsCopy:
    """A temporary instance that runs what was restored; a `RestoredCopy`."""

    url: str = field(repr=False)
    evidence: Mapping[str, str]
    admin_url: str | None = None

    def blamed_on_data(self, said: str) -> str | None:  # noqa: ARG002
        """Nothing: a snapshot has the passwords of its day, and RDS shows its log to nobody."""
        return None

    def check_files(self) -> Examined:
        """Nothing: RDS shows its files to nobody."""
        return Examined(0, unsaid=("RDS shows its files to nobody; it verifies their checksums",))

    @contextmanager
    def reopened(self) -> Iterator[str]:
        """The instance runs on: nobody has stopped it."""
        yield self.url


class Shape(TypedDict, total=False):
    """What a temporary instance takes from its source."""

    DBInstanceClass: str
    MultiAZ: bool
    PubliclyAccessible: bool
    DeletionProtection: bool
    DBSubnetGroupName: str
    VpcSecurityGroupIds: list[str]


def shape_of(source: DBInstanceTypeDef) -> Shape:
    """A private single instance of the source's class, in the source's network."""
    shape = Shape(
        DBInstanceClass=source["DBInstanceClass"],
        MultiAZ=False,
        PubliclyAccessible=False,
        DeletionProtection=False,
    )
    subnets = source.get("DBSubnetGroup", {}).get("DBSubnetGroupName")
    if subnets:
        shape["DBSubnetGroupName"] = subnets
    groups = [group["VpcSecurityGroupId"] for group in source.get("VpcSecurityGroups", [])]
    if groups:
        shape["VpcSecurityGroupIds"] = groups
    return shape


def evidence(url: str, point: RestorePoint, made: DBInstanceTypeDef) -> dict[str, str]:
    """The row that was committed when the backup was begun; a ContentError without it.

    RDS says of no instance how far its recovery really came.
    """
    identifier = made["DBInstanceIdentifier"]
    with connect(url, application="drill") as connection:
        row = one_row(connection.execute(statement("backups/is_recorded"), {"name": point.name}))
    if not row[0]:
        raise ContentError(
            f"recovery to {point.name}",
            cause=f"{identifier} lacks what was committed before {point.at:%F %T}Z",
            next_step="RDS recovered to an earlier moment than it was asked for: take a full "
            "backup now, and open a case with AWS",
        )
    return {"instance": identifier, "has the row of": point.name}
