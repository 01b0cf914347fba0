"""What a month costs: requests to S3, bytes by storage class, processors' time, dollars a year.

A month is exported, proven and frozen, and then purged, at full speed. Every request of ours is
counted when it is sent, and repeated ones are counted again. The processors' time is PostgreSQL's,
this process's and the S3 server's. Dollars are computed from the stored objects and the price list
in ft_ops/archive/cost/prices.json, which has its date. Every request is priced as a write into the
month's class, which is the most expensive kind. The bytes of log are those of a purge against those
of the specification's routine, a DELETE of the month whose cascade takes what belongs to it, each
behind a checkpoint.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from bench._archive import bench_run, rely_on_a_backup
from bench.frame import BenchContext, Result, profile
from ft_ops.archive.cost.keeping import KeepingCost, cost_of_keeping
from ft_ops.archive.cost.prices import load_prices
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.month.ledger import latest
from ft_ops.archive.move.move import move_month
from ft_ops.archive.proof.workflow import archive_content
from ft_ops.archive.purge.purge import plan_purge, purge_month
from ft_ops.archive.purge.throttle import throttle_of
from ft_ops.archive.run import Run
from ft_ops.format import human_bytes
from ft_ops.months import Month
from ft_ops.pg.connect import Connection, connect

_CORES = 2
_REASON = (
    "By pg_waldump two fifths of a purge's log are pages of keys and belongings at their first"
    " change after a checkpoint, and a quarter the deletions of rows and the locks of the holds'"
    " triggers: rows can't be deleted for less than these two, a third of the reference. The rest"
    " is what each segment was called, which stays taken, with two index entries for each"
)
_HOT_MONTHS = 84


def run(context: BenchContext) -> Iterator[Result]:
    template = context.template
    month = template.first
    size = f"{template.segments_per_month:,} segments in the month"
    with context.clone(template) as url, connect(url, application="bench") as connection:
        steps = bench_run(connection, url, context.bucket)
        requests = _counted(context)
        archived = profile(
            lambda: archive_content(steps, move_month(steps, month).generation),
            context.sandbox.server,
        )
        sent = requests.copy()
        rely_on_a_backup(connection, month)
        connection.execute("CHECKPOINT")
        before = _written(connection)
        purged = profile(lambda: _purge(steps, month), context.sandbox.server)
        log_of_purge = _written(connection) - before
        generation = latest(connection, month)
        assert generation is not None
        assert generation.state == "purged"
    with context.clone(template) as url, connect(url, application="bench") as connection:
        connection.execute("CHECKPOINT")
        before = _written(connection)
        connection.execute(
            "DELETE FROM content_segments WHERE created_at >= %s AND created_at < %s",
            [month.start, month.end],
        )
        log_of_delete = _written(connection) - before
    yield Result(
        name="archive_cost_wal",
        work="purge a month: bytes of log written",
        against="the specification's DELETE",
        unit="MB",
        ours=log_of_purge / 1e6,
        reference=log_of_delete / 1e6,
        goal=0.5,
        n=1,
        spread=0.0,
        size=size,
        reason=_REASON,
    )
    cost = _cost(generation)
    spent = sum(archived.core_seconds.values()) + sum(purged.core_seconds.values())
    yield _alone("requests", "archive a month: requests to S3", "", sent.total(), size, _told(sent))
    yield _alone(
        "minutes",
        f"archive and purge a month: minutes of {_CORES} cores",
        "min",
        spent / 60 / _CORES,
        size,
        f"archive, {archived.told}; purge, {purged.told}",
    )
    yield _alone(
        "year",
        "keep an archived month for a year",
        "$",
        cost.a_year,
        size,
        f"{cost.objects} objects, {_bytes(cost)}; prices of {cost.prices_as_of}. A second copy "
        f"costs the same again. When {_HOT_MONTHS} such months are archived, all of them cost "
        f"${_HOT_MONTHS * cost.a_year:.2f} a year",
    )
    storage = load_prices().storage[steps.rules.storage_class]
    yield _alone(
        "once",
        "archive a month: all requests at the dearest price",
        "$",
        sent.total() * storage.per_1000_writes / 1000,
        size,
        f"{storage.least_days} days are billed at least, so a month that is exported anew within "
        "them is paid twice",
    )


def _counted(context: BenchContext) -> Counter[str]:
    """Operations of the bucket's client, counted from now on."""
    counted: Counter[str] = Counter()

    def count(event_name: str, **_: object) -> None:
        counted[event_name.rpartition(".")[2]] += 1

    context.bucket.client.meta.events.register("before-send.s3", count)
    return counted


def _written(connection: Connection) -> int:
    """Bytes of log that the server has written so far."""
    row = connection.execute("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')").fetchone()
    assert row is not None
    return int(row[0])


def _purge(steps: Run, month: Month) -> None:
    generation = latest(steps.connection, month)
    assert generation is not None
    purge = purge_month(steps, plan_purge(steps, generation), throttle_of(steps))
    assert not purge.stopped, purge.stopped


def _cost(generation: Generation) -> KeepingCost:
    cost = cost_of_keeping((item.stored for item in generation.objects), load_prices())
    assert cost is not None, "the price list lacks a class of the month's objects"
    return cost


def _alone(name: str, work: str, unit: str, ours: float, size: str, note: str) -> Result:
    """A number that is compared with nothing, and has no goal: it says what to expect."""
    return Result(
        name=f"archive_cost_{name}",
        work=work,
        against="",
        unit=unit,
        ours=ours,
        goal=None,
        n=1,
        spread=0.0,
        size=size,
        note=note,
    )


def _told(requests: Counter[str]) -> str:
    return ", ".join(f"{number} {operation}" for operation, number in requests.most_common())


def _bytes(cost: KeepingCost) -> str:
    return ", ".join(f"{human_bytes(n)} in {name}" for name, n in cost.bytes_by_class.items())
