"""A recovery of the database to an earlier moment, beside a bucket that is further on.

The database of the moment is a copy of all its files, as a backup is; it takes the place of the
one that is lost, and adopts what the bucket has. Then the rows are what they were at the moment,
but for what was erased since, and with what the archive alone has of later rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from psycopg import sql

from ft_ops.months import Month
from tests.fixtures.postgres import Database, created
from tests.model.operations import REFUSED, SETTINGS
from tests.model.oracle import SEGMENTS, Key, Oracle, Values, text
from tests.model.place import Readable
from tests.model.writer import Finding

if TYPE_CHECKING:
    from tests.model.life import Life

_ROUNDS: Final = 6
"""Of an operator who does what each refusal says."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A copy of the database, and what was true of it: ``shifted``, by how much time has passed."""

    database: Database
    oracle: Oracle
    readable: frozenset[Key]
    schema: frozenset[str]
    asked: Mapping[Month, str | None]
    backups: int
    shifted: timedelta


@dataclass(frozen=True, slots=True)
class Fate:
    """In which of its versions a row may be found after a recovery, and whether it must be."""

    versions: tuple[Values, ...]
    must: bool

    @property
    def is_certain(self) -> bool:
        return self.must and len(self.versions) == 1


def keep_moment(life: Life) -> None:
    """Keep a copy of the database as it is now, in place of an earlier one."""
    name = life.place.database.name
    kept = Database(f"{name}_kept", life.place.database.server_url)
    readable = frozenset(life.readable().rows)
    with life.place.closed():
        life.stack.enter_context(created(kept, sql.Identifier(name)))
    life.moment = Moment(
        kept,
        deepcopy(life.oracle),
        readable,
        frozenset(life.schema),
        dict(life.asked),
        life.backups,
        life.shifted,
    )


def recover(life: Life, moment: Moment, *, same: bool) -> str:
    """Put the database of the moment in the place of the present one, and adopt from the bucket.

    ``same``: nothing tells the two apart, as after a snapshot of the disk.
    """
    for name, value in SETTINGS.items():
        life.operations.change(name, value)
    # As the clock of the records in the bucket has it, which no model can put back.
    life.unshift()
    life.place.admin.execute("UPDATE ops.archive SET error = error")
    try:
        life.operations.ship()
    except REFUSED as error:
        return f"not shipped: {error}"
    lost, before, erased = life.oracle, life.readable(), _tombstones(life)
    _replace(life, moment, same=same)
    life.place.pass_time(-moment.shifted)
    life.shifted = timedelta(0)
    life.schema, life.backups = set(moment.schema), moment.backups
    _adopt(life)
    life.oracle = life.application.oracle = _people(moment, lost, erased)
    fates = dict(_fates(moment, lost, before, erased, life.oracle))
    if not all(fate.is_certain for fate in fates.values()):
        _bring_back(life, fates)
    _settle(life, fates, lost, certain=all(fate.is_certain for fate in fates.values()))
    # A thaw is asked for again.
    life.asked = dict.fromkeys(life.months)
    return "done"


def _tombstones(life: Life) -> set[tuple[str, str]]:
    """What the bucket says is erased, by kind or table, and id."""
    return {
        (kind, found)
        for kind, found in life.place.admin.execute(
            "SELECT kind, id::text FROM ops.erasures WHERE NOT used_again"
            " UNION ALL SELECT table_name, key::jsonb ->> 0 FROM ops.erased_rows"
            " WHERE jsonb_array_length(key::jsonb) = 1"
        )
    }


def _replace(life: Life, moment: Moment, *, same: bool) -> None:
    database = life.place.database
    [(oid,)] = life.place.admin.execute(
        "SELECT oid FROM pg_database WHERE datname = current_database()"
    )
    with life.place.closed():
        life.stack.enter_context(
            created(database, sql.Identifier(moment.database.name), oid=oid if same else None)
        )


def _adopt(life: Life) -> None:
    """Until nothing is left to adopt, as a person does who reads what it says."""
    said: list[str] = []
    for _ in range(_ROUNDS):
        try:
            done = life.operations.adopt()
        except REFUSED as error:
            raise Finding(f"the archive can't be adopted: {error}") from error
        said = [str(problem) for problem in done.problems]
        if not said and not done.changes:
            return
        for month in life.months if said else ():
            _try(life, "move", month)
    raise Finding(f"an adoption does not come to its end: {said or done.changes}")


def _people(moment: Moment, lost: Oracle, erased: Collection[tuple[str, str]]) -> Oracle:
    """The oracle of the moment without what was erased since."""
    found = deepcopy(moment.oracle)
    found.months |= lost.months
    for family in [f for f in found.families if ("family", f) in erased]:
        found.delete_family(family)
    for book in [b for b in found.books if ("book", b) in erased]:
        found.delete_book(book)
    for thread in [t for t in found.threads if ("thread", t) in erased]:
        found.delete_thread(thread)
    for user in [u for u in found.users if ("user", u) in erased]:
        found.delete_user(user)
    kinds = {SEGMENTS: "segment"}
    found.delete([k for k in found.rows if (kinds.get(k[0], k[0]), k[1]) in erased])
    return found


def _fates(
    moment: Moment,
    lost: Oracle,
    before: Readable,
    erased: Collection[tuple[str, str]],
    now: Oracle,
) -> Iterator[tuple[Key, Fate]]:
    """Of every row that lives, or may live again; parents before children."""
    there: dict[Key, tuple[Values, ...]] = {}
    numbers = _numbers(now)
    order = [SEGMENTS, *now.children]
    keys = sorted(
        moment.oracle.rows.keys() | lost.rows.keys() | lost.gone.keys(),
        key=lambda key: (order.index(key[0]), key),
    )
    for key in keys:
        if key in moment.readable:
            # The database has it, as it was.
            if key in now.rows:
                there[key] = (now.rows[key],)
                yield key, Fate(there[key], must=True)
            continue
        if (key[0] if key[0] != SEGMENTS else "segment", key[1]) in erased:
            continue
        fate = _archived(moment, lost, before, key)
        versions = tuple(v for v in fate.versions if _holds(now, there, key, v))
        if not versions:
            continue
        there[key] = versions
        must = fate.must and len(versions) == len(fate.versions)
        if key[0] == SEGMENTS:
            place = (text(versions[0]["thread_id"]), text(versions[0]["sequence_number"]))
            must = must and numbers.setdefault(place, key) == key
        else:
            must = must and _is_certain_below(now, there, key, versions[0])
        yield key, Fate(versions, must)


def _archived(moment: Moment, lost: Oracle, before: Readable, key: Key) -> Fate:
    """What the archive may have of a row that the database of the moment could not show."""
    versions = [dict(v) for v in lost.exported.get(key, set())]
    if key in lost.rows and key not in before.rows and not _is_in_limbo(lost, key):
        # It has left the database that was lost: its last version is in the archive.
        return Fate((lost.rows[key],), must=True)
    if key in moment.oracle.rows:
        # The archive had it at the moment, in some version.
        versions.append(dict(moment.oracle.rows[key]))
    versions += [dict(v) for v in lost.gone.get(key, [])]
    unique = {frozenset(v.items()): v for v in versions}
    return Fate(tuple(unique.values()), must=False)


def _is_in_limbo(oracle: Oracle, key: Key) -> bool:
    limbo = {k for keys in oracle.limbo.values() for k in keys}
    return not limbo.isdisjoint(oracle.segments_of(key))


def _numbers(oracle: Oracle) -> dict[tuple[str, str], Key]:
    """Which segment has a number in a thread, of those that are in the recovered database."""
    return {
        (text(values["thread_id"]), text(values["sequence_number"])): key
        for key, values in oracle.rows.items()
        if key[0] == SEGMENTS
    }


def _holds(now: Oracle, there: Mapping[Key, Any], key: Key, values: Values) -> bool:
    """Whether everything lives to which a version of a row belongs."""
    if key[0] == SEGMENTS:
        return text(values["thread_id"]) in now.threads and text(values["user_id"]) in now.users
    child = now.children[key[0]]
    author = values.get(child.author) if child.author else None
    return (author is None or text(author) in now.users) and all(
        (child.parent, text(values[column])) in there for column in child.ends
    )


def _is_certain_below(now: Oracle, there: Mapping[Key, Any], key: Key, values: Values) -> bool:
    """Whether each of the rows that it belongs to is found in one version only."""
    child = now.children[key[0]]
    return all(len(there[child.parent, text(values[column])]) == 1 for column in child.ends)


def _bring_back(life: Life, fates: Mapping[Key, Fate]) -> None:
    """Thaw all months: only then it is known in which of its versions each row lives on."""
    for month in life.months:
        for round_ in range(_ROUNDS):
            if round_:
                for step in ("refreeze", "move", "archive", "backup", "purge"):
                    _try(life, step, month)
            said = [_try(life, "thaw", month) for _ in range(2)]
            if said[-1] == "done" or not _is_archived(life, month):
                break
        else:
            raise Finding(f"{month} can't be brought back after a recovery: {said}")


def _is_archived(life: Life, month: Month) -> bool:
    rows = life.place.admin.execute(
        "SELECT FROM ops.archive WHERE month = %s AND state = 'purged'", (month.first_day,)
    )
    return bool(rows.fetchall())


def _try(life: Life, step: Any, month: Month) -> str:
    life.pass_time(timedelta(days=2))
    if step == "backup":
        life.back_up()
        return "done"
    try:
        return "done" if life.operations.run(step, month) else "asked Glacier"
    except REFUSED as error:
        return str(error)


def _settle(life: Life, fates: Mapping[Key, Fate], lost: Oracle, *, certain: bool) -> None:
    """What was found is what lives from now on."""
    oracle, found = life.oracle, life.readable()
    for key, values in found.rows.items():
        fate = fates.get(key)
        if fate is None:
            raise Finding(f"revived by a recovery: {key}: {values}")
        if values not in fate.versions:
            raise Finding(f"changed by a recovery: {key}: {values}, not {fate.versions}")
    if certain:
        oracle.rows = {key: fate.versions[0] for key, fate in fates.items()}
    else:
        lacking = [key for key, fate in fates.items() if fate.must and key not in found.rows]
        if lacking:
            raise Finding(f"{len(lacking)} rows are lost by a recovery, such as {lacking[:3]}")
        oracle.rows = dict(found.rows)
        oracle.limbo.clear()
    absent = oracle.rows.keys() - found.rows.keys()
    oracle.away = {key for key in absent if key[0] == SEGMENTS}
    oracle.beside = absent - oracle.away
    for key, versions in lost.exported.items():
        oracle.exported.setdefault(key, set()).update(versions)
    oracle.exported = {k: v for k, v in oracle.exported.items() if k in oracle.rows}
    oracle.gone = {k: v for k, v in lost.gone.items() if k not in oracle.rows}
    oracle.held = {
        hold: keys & oracle.rows.keys() & oracle.held_by(*life.held_subjects[hold])
        for hold, keys in lost.held.items()
    }
    _compare_holds(life)
    present = life.place.keys()
    life.held_present = {
        hold: {i for t, i in keys if t == SEGMENTS} & present for hold, keys in oracle.held.items()
    }


def _compare_holds(life: Life) -> None:
    standing = {
        hold
        for (hold,) in life.place.admin.execute(
            "SELECT id FROM ops.legal_holds WHERE released_at IS NULL"
        )
    }
    if standing != life.oracle.held.keys():
        raise Finding(f"holds {standing} stand, and {set(life.oracle.held)} should")
