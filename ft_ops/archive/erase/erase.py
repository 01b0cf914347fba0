"""Erasure inside archives: rewrites a month without what was erased, and removes the old versions.

Rewriting needs the objects, and so asks Glacier for them: that costs what the estimate says. The
rows never come back to the product's tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from psycopg import sql

from ft_ops.archive.month.content import TABLES, Source
from ft_ops.archive.month.ledger import (
    Generation,
    begin_generation,
    finish,
    generations,
    latest,
    months_by_state,
    record_objects,
)
from ft_ops.archive.proof.workflow import archive_content
from ft_ops.archive.store.content_index import SUBJECTS
from ft_ops.archive.store.export import ArchiveTarget
from ft_ops.archive.store.freeze import Lock
from ft_ops.archive.thaw.ledger import Thaw, enter_thaw, generations_of
from ft_ops.archive.thaw.merge import merged
from ft_ops.items import each
from ft_ops.pg.audit import write_audit
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import delete_version, versions


@dataclass(frozen=True, slots=True)
class Erasure:
    """What an erasure did: the generation that replaces the others, and the rows that are gone."""

    generation: Generation
    erased: Mapping[str, int]


def erase_month(
    connection: Connection,
    url: str,
    target: ArchiveTarget,
    thaw: Thaw,
    *,
    storage_class: str,
    lock: Lock | None,
    run_id: str,
    log: Callable[[str], None] = lambda line: None,
) -> Erasure:
    """Rewrite a readable month as its next generation, without what was erased.

    The old generations stay until the new one is proven and frozen, and are superseded in the
    transaction that records it. A dead predecessor's half-written generation is gone on with.
    """
    thaw = enter_thaw(connection, thaw, "loading")
    old = generations_of(connection, thaw)
    with merged(connection, url, target.bucket, old, purpose="erasure", log=log) as scratch:
        erased = _delete_erased(connection, scratch)
        log(f"left out of {thaw.month}: {erased}")
        generation = archive_content(
            connection,
            url,
            target,
            _replacement(connection, thaw, run_id),
            storage_class=storage_class,
            lock=lock,
            source=scratch,
            run_id=run_id,
            log=log,
        )
    with connection.transaction():
        generation = finish(connection, generation, "purged")
        for replaced in old:
            finish(connection, replaced, "superseded")
        enter_thaw(connection, thaw, "done", done_at=sql.SQL("clock_timestamp()"))
        write_audit(
            connection,
            "archive.erase",
            "ops.archive",
            {"month": str(thaw.month), "generation": generation.number, "erased": erased},
        )
    return Erasure(generation, erased)


def remove_superseded(
    connection: Connection, bucket: Bucket, *, log: Callable[[str], None] = lambda line: None
) -> int:
    """Remove the objects of generations that a newer, proven one replaces; returns the versions.

    They may hold what was deleted in between. Manifests and certificates, which hold no content,
    stay. What can't be removed (an Object Lock may still be on it) is named by a SomeFailed, once
    all others are gone.
    """

    def remove(generation: Generation) -> int:
        versions_removed = _remove_objects(connection, bucket, generation)
        log(f"removed the objects of {generation.name}")
        return versions_removed

    worked = each(_replaced(connection), remove, name=lambda g: f"objects of {g.name}", log=log)
    worked.refuse_failures("superseded generations")
    return sum(worked.results)


def _replaced(connection: Connection) -> list[Generation]:
    """The superseded generations that a newer, frozen one replaces, and whose objects are there."""
    found = []
    for month in months_by_state(connection, "superseded"):
        known = generations(connection, month)
        found += [
            generation
            for generation in known
            if generation.state == "superseded"
            and generation.objects
            and any(g.number > generation.number and g.frozen_at is not None for g in known)
        ]
    return found


def _remove_objects(connection: Connection, bucket: Bucket, generation: Generation) -> int:
    removed = 0
    for item in generation.objects:
        if item.table in (*TABLES, SUBJECTS):
            for version in list(versions(bucket, item.stored.key)):
                if version.key == item.stored.key:
                    delete_version(bucket, version.key, version.version_id)
                    removed += 1
    with connection.transaction():
        record_objects(connection, generation, ())
        write_audit(
            connection,
            "archive.remove_superseded",
            "ops.archive",
            {
                "month": str(generation.month),
                "generation": generation.number,
                "versions": removed,
            },
        )
    return removed


def _replacement(connection: Connection, thaw: Thaw, run_id: str) -> Generation:
    """The generation that is to replace those of the thaw: a dead run's, or a new one."""
    newest = latest(connection, thaw.month)
    if newest is not None and newest.number > max(thaw.generations):
        return newest
    with connection.transaction():
        return finish(
            connection, begin_generation(connection, thaw.month, "archiving", run_id), "archived"
        )


def _delete_erased(connection: Connection, scratch: Source) -> dict[str, int]:
    """Delete erased rows from scratch tables; rows by table."""
    return {
        table: connection.execute(
            statement(f"archive/erase_{table}").format(**scratch.relations())
        ).rowcount
        for table in TABLES
    }
