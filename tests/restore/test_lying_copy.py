"""A copy that says what it likes: it is asked for one family, and nothing of another comes back."""

from __future__ import annotations

from psycopg import sql

from ft_ops.pg.connect import Connection
from ft_ops.restore import Decisions, Side, Subject, restore_subject
from ft_ops.restore.read.graph import Scope, SubjectTable
from ft_ops.restore.read.sides import Ids
from tests.fixtures.postgres import Database
from tests.restore.test_restore import states
from tests.restore.world import World, as_administrator


class Liar(Side):
    """Says of every row of every family that it is the subject's."""

    def belongs(self, table: SubjectTable, scope: Scope, ids: Ids, alias: str) -> sql.Composable:
        return sql.SQL("true")


def restore(world: World, copy: Connection) -> int:
    plan = restore_subject(
        Liar.of(copy),
        world.connection,
        Subject("family", world.families[0]),
        source="a liar",
        as_of=None,
        decisions=Decisions(),
        apply=True,
        run_id="tests",
    )
    assert states(plan, "families") == {"same": 1, "conflict": 1}
    return plan.inserts


def test_what_it_says_is_one_familys_and_is_anothers_stays_out(world: World) -> None:
    whole = world.family(0)
    with world.copied() as copy:
        world.execute("DELETE FROM families WHERE id = %s", world.families[1])
        world.execute("DELETE FROM ops.erasures")
        world.execute("DELETE FROM content_segments WHERE id = %s", world.segments[0])
        assert restore(world, copy) == 4
    assert world.family(0) == whole
    assert not any(world.family(1).values())


def test_what_it_says_is_reserved_in_other_threads_is_not_believed(world: World) -> None:
    """A column of another type, and an operator of its own that calls everything equal."""
    own = world.threads[0]
    with world.copied() as copy:
        as_administrator(
            Database(copy.info.dbname, world.database.server_url),
            "ALTER TABLE ops.purged_segments RENAME TO hidden",
            "CREATE FUNCTION public.always(text, uuid) RETURNS boolean LANGUAGE sql"
            " AS 'SELECT true'",
            "CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = uuid, FUNCTION = public.always)",
            "CREATE VIEW ops.purged_segments AS SELECT gen_random_uuid() AS id,"
            " t.id::text AS thread_id, 77 AS sequence_number FROM threads AS t",
            "GRANT SELECT ON ops.purged_segments TO ft_ops",
        )
        world.execute("DELETE FROM threads WHERE id = %s", own)
        mistake = Decisions(mistakes=frozenset({own}), reason="the owner says so")
        assert world.restore(copy, decisions=mistake).inserts > 4
    assert world.count("ops.purged_segments") == 0
