"""Whatever happens in whatever order before a disaster: nobody erased comes back, nothing is lost.

Random sequences of writes, deletions, archives, erasures, shipments, backups and losses of objects
in the first bucket, then a recovery to any of the backups and an adoption. The oracle is a list of
what was written and what was erased.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from uuid import UUID

import pytest
from psycopg import sql

from ft_ops.archive.erase.erase import erase_month
from ft_ops.archive.erase.plan import plan_erasures
from ft_ops.archive.erase.superseded import remove_superseded
from ft_ops.archive.keep.adopt import adopt
from ft_ops.archive.keep.erased import living_erased
from ft_ops.archive.month.ledger import generations
from ft_ops.archive.recorded.ship import ship_records
from ft_ops.months import Month
from ft_ops.pg.connect import connect
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import delete_version, versions
from tests.archive.world import MONTH, World
from tests.fixtures.postgres import Database, created

MONTHS = (MONTH, MONTH.plus(1))


@dataclass(slots=True)
class History:
    """One life of a database, and what must be true of it afterwards."""

    world: World
    chance: random.Random
    stack: ExitStack
    written: dict[UUID, tuple[Month, int]] = field(default_factory=dict)
    erased_threads: set[int] = field(default_factory=set)
    purged: set[Month] = field(default_factory=set)
    backups: list[tuple[Database, set[UUID]]] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def write(self) -> None:
        month = self.chance.choice(MONTHS)
        threads = [n for n in range(4) if n not in self.erased_threads]
        if month in self.purged or not threads:
            return
        self.world.month(month)
        for _ in range(3):
            thread = self.chance.choice(threads)
            segment = self.world.segment(month, thread=thread)
            self.world.children(segment)
            self.written[segment] = (month, thread)

    def erase_thread(self) -> None:
        thread = self.chance.randrange(4)
        self.world.connection.execute(
            "DELETE FROM threads WHERE id = %s", (self.world.threads[thread],)
        )
        self.erased_threads.add(thread)

    def archive(self) -> None:
        month = self.chance.choice(MONTHS)
        if month not in self.purged and any(m == month for m, _ in self.written.values()):
            self.world.archived_and_purged(month)
            self.purged.add(month)

    def rewrite(self) -> None:
        for plan in plan_erasures(self.world.connection, self.world.bucket):
            if plan.generations:
                erase_month(self.world.run, self.world.ask(plan.month, purpose="erasure"))

    def ship(self) -> None:
        ship_records(self.world.run)

    def back_up(self) -> None:
        number = len(self.backups)
        copy = Database(f"{self.world.database.name}_{number}", self.world.database.server_url)
        self.world.connection.close()
        self.stack.enter_context(created(copy, sql.Identifier(self.world.database.name)))
        self.world.connection = self.stack.enter_context(
            connect(self.world.database.url, application="tests")
        )
        self.backups.append((copy, set(self.written)))

    def collect(self) -> None:
        remove_superseded(self.world.run).refuse_failures("collection")

    def lose(self) -> None:
        """The first bucket loses an object of content: the second has it."""
        kept = [
            g
            for month in self.purged
            for g in generations(self.world.connection, month)
            if g.state == "purged"
        ]
        if kept:
            stored = self.chance.choice(self.chance.choice(kept).parts()).stored
            delete_version(self.world.bucket, stored.key, stored.version_id)

    def content_of_the_erased(self) -> set[str]:
        """Keys below which either bucket has what a superseded generation held."""
        second = self.world.second
        assert second is not None
        gone = [
            g
            for month in self.purged
            for g in generations(self.world.connection, month)
            if g.state == "superseded"
        ]
        folders = {f"/month={g.month.month:02d}/gen={g.number}/" for g in gone}
        return {
            version.key
            for bucket in (self.world.bucket, second)
            for version in versions(bucket, "archive/table=")
            if "/table=manifest/" not in version.key
            and any(folder in version.key for folder in folders)
        }

    @property
    def standing(self) -> set[UUID]:
        return {s for s, (_, thread) in self.written.items() if thread not in self.erased_threads}

    def live(self, number: int) -> None:
        steps = [
            *(self.write, self.write, self.erase_thread, self.archive, self.archive),
            *(self.rewrite, self.ship, self.back_up, self.collect, self.lose),
        ]
        for _ in range(number):
            step = self.chance.choice(steps)
            self.done.append(step.__name__)
            step()


@contextmanager
def recovered(history: History, moment: Database) -> Iterator[World]:
    with connect(moment.url, application="tests") as connection:
        yield replace(history.world, database=moment, connection=connection)


def bring_back(world: World) -> set[UUID]:
    """Every segment's id, once all that is in the archive alone has been thawed."""
    for month in MONTHS:
        if any(g.state == "purged" for g in generations(world.connection, month)):
            world.thaw(month)
    rows = world.connection.execute(
        "SELECT id FROM content_segments UNION ALL SELECT id FROM archived_content_segments"
    ).fetchall()
    found = [segment for (segment,) in rows]
    assert len(found) == len(set(found))
    return set(found)


@pytest.mark.parametrize(
    ("seed", "steps"),
    [(0, 5), *(pytest.param(seed, 12, marks=pytest.mark.chaos) for seed in range(1, 9))],
)
def test_a_recovery_to_any_backup_keeps_what_stands_and_nothing_that_was_erased(
    world: World, second_bucket: Bucket, seed: int, steps: int
) -> None:
    world.second = second_bucket
    with ExitStack() as stack:
        history = History(world, random.Random(seed), stack)
        history.write()
        history.back_up()
        history.live(steps)
        history.ship()
        history.rewrite()
        history.collect()
        history.ship()
        assert history.content_of_the_erased() == set(), history.done
        for moment, known in history.backups:
            with recovered(history, moment) as restored:
                adopted = adopt(restored.run, apply=True)
                assert adopted.problems == (), history.done
                assert adopt(restored.run, apply=False).changes == (), history.done
                assert living_erased(restored.connection) == {}
                found = bring_back(restored)
                archived = {
                    segment
                    for segment in history.standing
                    if history.written[segment][0] in history.purged
                }
                assert (known & history.standing) | archived <= found <= history.standing, (
                    history.done
                )
