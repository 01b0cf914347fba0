"""Removes what another version replaces: objects of superseded generations, and single versions.

Nothing goes because it is old or unknown: the ledger says which generation replaces one, and only
once that one is frozen, and the bucket has a record of both, its objects go; and it names each
version that a freeze could not remove.

Of the audit log nothing is ever erased: a proven generation of it goes only when each of its rows
is proven, as it is, in the generation that replaces it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ft_ops.archive.claims.claim import claim
from ft_ops.archive.copies.second import remove_ours
from ft_ops.archive.erase.contained import refuse_not_contained
from ft_ops.archive.erase.free import free_of_holds
from ft_ops.archive.month.generation import ArchivedObject, Generation
from ft_ops.archive.month.ledger import (
    forget_leftovers,
    generations,
    months_by_state,
    months_with_leftovers,
    record_objects,
)
from ft_ops.archive.month.states import LEDGERS, STORED
from ft_ops.archive.recorded.ship import ship_records
from ft_ops.archive.run import Run
from ft_ops.archive.store.presence import missing_from
from ft_ops.errors import OpsError, Refused
from ft_ops.items import Failed, Worked, each
from ft_ops.pg.audit import write_audit
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import StoredObject, delete_version
from ft_ops.s3.twins import under


def remove_superseded(run: Run) -> Worked[int]:
    """Remove the objects of every generation that a frozen one replaces, one after the other.

    Their second copies go with them: a generation counts as removed when both buckets are without
    it. Manifests and certificates, which hold no content, stay. What can't be removed (a lock or a
    hold is on it) is named, and the others go. Results are numbers of versions. Refused when
    another database has claimed the archive: what this one thinks replaced may be what that needs.
    """
    doomed = superseded_objects(run.connection)
    if doomed or any(_with_leftovers(run.connection)):
        claim(run.folder, "removal of what was replaced", removes=True)
    if not all(_is_recorded(run.connection, *replaced) for replaced in doomed):
        _record(run)
    replaced = each(
        doomed,
        lambda replaced: _remove_objects(run, *replaced),
        name=lambda replaced: f"objects of {replaced[0].name}",
        log=run.log,
    )
    left = each(
        list(_with_leftovers(run.connection)),
        lambda generation: _remove_leftovers(run, generation),
        name=lambda generation: f"replaced versions of {generation.name}",
        log=run.log,
    )
    unexplained = tuple(_unexplained(run.connection))
    return Worked((*replaced.done, *left.done), (*replaced.failed, *left.failed, *unexplained))


def _with_leftovers(connection: Connection) -> Iterator[Generation]:
    """The generations of both ledgers with versions that a freeze could not remove."""
    for ledger in LEDGERS:
        for month in months_with_leftovers(connection, ledger):
            yield from (g for g in generations(connection, month, ledger) if g.leftovers)


def _is_recorded(connection: Connection, generation: Generation, by: Generation) -> bool:
    """Whether the bucket knows that a generation of content was replaced, and by what.

    A database that is recovered to before that learns it from there alone: it would look for the
    objects of the one, and know nothing of the other. What was never proven nobody would look for.
    The audit log's records are asked for with its rows.
    """
    if generation.ledger != "archive" or generation.proven_at is None:
        return True
    places = {"month": by.month.first_day, "generation": generation.number, "by": by.number}
    found = connection.execute(statement("archive/replacement_is_recorded"), places).fetchone()
    return found == (True,)


def _record(run: Run) -> None:
    """Let the bucket know; where that fails, whatever it does not know of is refused by name."""
    try:
        ship_records(run)
    except OpsError as error:
        run.log(f"what was replaced is not recorded in the bucket: {error}")


def _refuse_unrecorded(run: Run, generation: Generation, by: Generation) -> None:
    if not _is_recorded(run.connection, generation, by):
        raise Refused(
            f"objects of {generation.name}",
            cause=f"the bucket has no record yet that {by.name} replaces it: a database that is "
            "recovered would know nothing of its rows",
            next_step="they stay until ship_archive_records has written it; see why it did not",
        )


def _unexplained(connection: Connection) -> Iterator[Failed]:
    """Superseded generations with objects of which the ledger does not say what replaced them.

    Earlier versions did not record it. Such objects stay until a person has.
    """
    for generation, known in _replaced(connection):
        if replacing(generation, known) is None:
            yield Failed(
                f"objects of {generation.name}",
                "the ledger does not say which generation replaces it, as earlier versions left it",
                f"see which later generation of the month has its rows "
                f"(ops.{generation.ledger}_status, and the lists beside each), and record it in "
                f"replaced_by of ops.{generation.ledger}",
            )


def _replaced(connection: Connection) -> Iterator[tuple[Generation, list[Generation]]]:
    """The superseded generations with objects, of both ledgers, each with all of its month."""
    for ledger in LEDGERS:
        for month in months_by_state(connection, ("superseded",), ledger):
            known = generations(connection, month, ledger)
            for generation in known:
                if generation.state == "superseded" and generation.objects:
                    yield generation, known


def replacing(generation: Generation, known: Sequence[Generation]) -> Generation | None:
    """The generation that stands in the end for a superseded one; None when that is not recorded.

    Nobody infers it: that a later one is frozen does not say that it holds the same rows.
    """
    by_number = {g.number: g for g in known}
    current: Generation | None = generation
    while current is not None and current.state == "superseded":
        current = by_number.get(current.replaced_by or 0)
    return current


def superseded_objects(connection: Connection) -> list[tuple[Generation, Generation]]:
    """The superseded generations with objects, each with the frozen one that replaces it."""
    pairs = ((replaced, replacing(replaced, known)) for replaced, known in _replaced(connection))
    return [(replaced, by) for replaced, by in pairs if by is not None and by.state in STORED]


def _remove_objects(run: Run, generation: Generation, by: Generation) -> int:
    _refuse_unrecorded(run, generation, by)
    _refuse_only_copy(run, generation, by)
    content = [item.stored for item in generation.parts()]
    lists = [item.stored for item in _lists_of(generation)]
    # The ledger names them, whatever they hold: one of them may have been damaged.
    ours = {(item.stored.key, item.stored.version_id) for item in generation.objects}
    ours |= set(generation.leftovers)
    is_there = _any_of(run.bucket, content)
    doomed = 0
    # Without content nothing is held: a dead run removed it, and perhaps the list of subjects with
    # it, which the holds are looked up in.
    if is_there:
        refuse_not_contained(run, generation, by)
        with free_of_holds(run, run.bucket, generation) as go_on:
            doomed = remove_ours(run.bucket, content, ours, before_each=go_on)
    elif generation.parts():
        _refuse_elsewhere(run.bucket, generation)
    copies = 0
    # Asked for only now: that it can't be reached keeps nothing in the first.
    second = run.target.second
    if second is not None:
        # All of it before the lists in the first go: another run needs them to find the holds.
        copied = [item.stored for item in generation.objects]
        if _any_of(second, content):
            if not is_there:
                refuse_not_contained(run, generation, by)
            with free_of_holds(run, run.bucket, generation) as go_on:
                copies = remove_ours(second, copied, before_each=go_on)
        else:
            copies = remove_ours(second, copied)
    # From here on the ledger says that its content is gone: nobody has to find the lists any more.
    generation = record_objects(run.connection, generation, _lists_of(generation))
    doomed += remove_ours(run.bucket, lists, ours)
    with run.connection.transaction():
        record_objects(run.connection, generation, ())
        write_audit(
            run.connection,
            "archive.remove_superseded",
            f"ops.{generation.ledger}",
            {
                "month": str(generation.month),
                "generation": generation.number,
                "versions": doomed,
                "versions of the second copy": copies,
            },
        )
    run.log(f"removed the objects of {generation.name}")
    return doomed + copies


def _lists_of(generation: Generation) -> list[ArchivedObject]:
    """What lies beside a generation's content."""
    return [item for item in generation.objects if item not in generation.parts()]


def _refuse_elsewhere(bucket: Bucket, generation: Generation) -> None:
    """Refused unless this bucket holds anything of a generation, though not its content.

    Of one whose content a dead run has removed, the lists are here. Of one that was written into
    another bucket nothing is, and its content may all be there.
    """
    lists = [item.stored for item in _lists_of(generation)]
    if generation.manifest is not None:
        lists.append(generation.manifest)
    if not any(any(under(bucket, stored.key)) for stored in lists):
        raise Refused(
            f"objects of {generation.name}",
            cause=f"nothing of it lies in s3://{bucket.name}: neither content nor lists",
            next_step="if FT_ARCHIVE_BUCKET has changed, name the bucket that has them, and run "
            "remove_superseded_content there. If somebody has removed them by hand, set objects "
            "and leftovers of that row of its ledger to an empty JSON array",
        )


def _any_of(bucket: Bucket, content: Sequence[StoredObject]) -> bool:
    """Whether anything lies under the keys of a generation's content in a bucket."""
    return any(any(under(bucket, stored.key)) for stored in content)


def _refuse_only_copy(run: Run, generation: Generation, by: Generation) -> None:
    """Refused unless all that replaces it lies in this very bucket.

    Its rows may have left the database by then: what is gone or damaged of the other generation is
    whole in this one only. In another bucket neither of them is, and nothing was removed there.
    """
    problems = list(missing_from(run.bucket, by))
    if problems:
        raise Refused(
            f"objects of {generation.name}",
            cause=f"{by.name}, which replaces it, is not whole: {problems[0]}",
            next_step="they may be the only copy, and stay. Bring back what is missing; or, if "
            "FT_ARCHIVE_BUCKET has changed, name the bucket that has them",
        )


def _remove_leftovers(run: Run, generation: Generation) -> int:
    """Remove versions that a freeze has replaced and could not remove then.

    Refused unless what has replaced them is there: else one of them may be the only copy. Nor does
    one go that the ledger names by now, because a lost object was found in it. A version that is
    not there is not taken for removed where nothing of the generation is: it may be in the bucket
    that FT_ARCHIVE_BUCKET named before.
    """
    if not any(any(under(run.bucket, key)) for key, _ in generation.leftovers):
        _refuse_elsewhere(run.bucket, generation)
    problems = list(missing_from(run.bucket, generation)) if generation.objects else []
    if problems:
        raise Refused(
            f"replaced versions of {generation.name}",
            cause=f"what has replaced them is not whole: {problems[0]}",
            next_step="they may be the only copy, and stay. Bring back what is missing: "
            "ft-ops archive mend",
        )
    recorded = {(item.stored.key, item.stored.version_id) for item in generation.objects}
    doomed = [version for version in generation.leftovers if version not in recorded]
    for key, version_id in doomed:
        delete_version(run.bucket, key, version_id)
    forget_leftovers(run.connection, generation)
    return len(doomed)
