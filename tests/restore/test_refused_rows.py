"""Rows that today's tables, triggers and types don't take stay out, each with its cause alone."""

from __future__ import annotations

import pytest

from ft_ops.errors import OpsError
from ft_ops.restore import failures
from tests.restore.test_restore import reasons, states
from tests.restore.world import World, as_administrator

NOTES = (
    "CREATE TABLE notes (id integer PRIMARY KEY, said text, size bigint, worth numeric(9,3),"
    " at timestamptz DEFAULT now(), thread uuid NOT NULL REFERENCES threads (id) ON DELETE CASCADE)"
)
ANSWERS = "CREATE TABLE answers (note integer PRIMARY KEY REFERENCES notes (id) ON DELETE CASCADE)"


def _plpgsql(name: str, body: str) -> str:
    return (
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;"
        f"CREATE TRIGGER {name} BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION {name}()"
    )


CHANGES = [
    ("ALTER TABLE notes ALTER said TYPE varchar(5)", "said can't take it: value too long"),
    ("ALTER TABLE notes ALTER size TYPE smallint", "size can't take it: value is out of range"),
    (
        "ALTER TABLE notes ALTER said TYPE integer USING 1",
        "said can't take it: invalid input syntax for type integer. Next",
    ),
    ("ALTER TABLE notes ALTER worth TYPE numeric(9,1)", "worth would be rounded"),
    ("ALTER TABLE notes ALTER at TYPE date", "at would be rounded"),
    (
        (
            "CREATE DOMAIN short AS text CHECK (length(VALUE) < 6);"
            "ALTER TABLE notes ALTER said TYPE short"
        ),
        "short_check refuses it today",
    ),
    (
        "ALTER TABLE notes ADD half integer GENERATED ALWAYS AS (1 / (size - 70000)) STORED",
        "today's table can't take it: division by zero",
    ),
    (
        "ALTER TABLE notes ADD CONSTRAINT numbers CHECK (1 / (size - 70000) < 9)",
        "today's table can't take it: division by zero",
    ),
    (
        "CREATE UNIQUE INDEX numbered ON notes ((1 / (size - 70000)), id)",
        "today's table can't take it: division by zero",
    ),
    (
        (
            "ALTER TABLE notes ADD CONSTRAINT apart EXCLUDE USING btree (said WITH =);"
            "INSERT INTO notes (id, said, thread) SELECT 9, 'too long', thread FROM others"
        ),
        "apart: another row has its place now",
    ),
    (
        _plpgsql("no_long", "IF length(NEW.said) > 5 THEN RAISE 'no'; END IF; RETURN NEW;"),
        "no_long() refuses it: no. Next: see who calls it",
    ),
    (
        _plpgsql(
            "not_by_you",
            "IF length(NEW.said) > 5 THEN RAISE insufficient_privilege; END IF; RETURN NEW;",
        ),
        "not_by_you() refuses it: insufficient_privilege",
    ),
    (
        (
            "CREATE FUNCTION at_last() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF length(NEW.said) > 5 THEN RAISE 'no'; END IF; RETURN NULL; END $$;"
            "CREATE CONSTRAINT TRIGGER at_last AFTER INSERT ON notes"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION at_last()"
        ),
        "at_last() refuses it: no",
    ),
    (
        _plpgsql("shortened", "NEW.said := left(NEW.said, 5); RETURN NEW;"),
        "a trigger of today keeps it out or changes it",
    ),
    (
        _plpgsql("passed_over", "IF length(NEW.said) > 5 THEN RETURN NULL; END IF; RETURN NEW;"),
        "a trigger of today keeps it out or changes it",
    ),
]
SOME = [*CHANGES[::3], CHANGES[-1]]


@pytest.fixture
def noted(world: World) -> World:
    """Three notes of a thread of the family, of which the second one is larger than the others."""
    for query in (NOTES, ANSWERS, "CREATE TABLE others (thread uuid)"):
        world.execute(query)
    world.execute("INSERT INTO others VALUES (%s)", world.threads[4])
    for number, said in ((1, "1"), (2, "too long"), (3, "3")):
        world.execute(
            "INSERT INTO notes VALUES (%s, %s, %s, %s, '2025-01-01T00:00Z', %s)",
            number,
            said,
            70_000 if number == 2 else number,
            1.234 if number == 2 else number,
            world.threads[0],
        )
        world.execute("INSERT INTO answers VALUES (%s)", number)
    world.execute("UPDATE notes SET at = at + interval '1 hour' WHERE id = 2")
    return world


@pytest.mark.parametrize(
    "changes", [SOME, pytest.param(CHANGES, marks=pytest.mark.chaos)], ids=["some", "all"]
)
def test_a_row_that_is_not_taken_stays_out_with_what_hangs_on_it_and_the_rest_comes(
    noted: World, changes: list[tuple[str, str]]
) -> None:
    """One change of the schema after the other, each undone before the next one."""
    with noted.copied() as copy:
        for change, said in changes:
            noted.execute("DROP TABLE notes CASCADE")
            noted.execute("DROP TABLE answers")
            for query in (NOTES, ANSWERS, *_statements(change)):
                noted.execute(query)
            shown = noted.restore(copy, apply=False)
            plan = noted.restore(copy)
            assert shown.tables == plan.tables
            state = "conflict" if "another row" in said else "blocked"
            assert states(plan, "notes") == {state: 1, "missing": 2}, change
            assert reasons(plan, "notes")[0].startswith(said), change
            assert states(plan, "answers") == {state: 1, "missing": 2}, change
            (kept,) = (t for t in plan.tables if t.table == "notes")
            assert [s.key for s in kept.samples if s.state == state] == ["2"], change
            assert noted.connection.execute(
                "SELECT array_agg(id ORDER BY id), (SELECT array_agg(note ORDER BY note)"
                " FROM answers) FROM notes WHERE id < 9"
            ).fetchone() == ([1, 3], [1, 3])


def _statements(change: str) -> list[str]:
    """A function's body has semicolons of its own."""
    if "$$" not in change:
        return change.split(";")
    head, body, tail = change.split("$$")
    return [f"{head}$${body}$$", tail.lstrip("; ")]


def test_keys_of_another_type_stay_out_and_the_rest_comes(noted: World) -> None:
    with noted.copied() as copy:
        for query in ("DROP TABLE notes CASCADE", "DROP TABLE answers"):
            noted.execute(query)
        noted.execute(NOTES.replace("id integer", "id uuid"))
        noted.execute(ANSWERS.replace("note integer", "note uuid"))
        noted.execute("DELETE FROM content_tags WHERE content_segment_id = %s", noted.segments[0])
        plan = noted.restore(copy)
        assert plan.inserts == 1
        for table, column in (("notes", "id"), ("answers", "note")):
            assert states(plan, table) == {"blocked": 3}
            (why,) = reasons(plan, table)
            assert why.startswith(f"{column} can't take it: invalid input syntax for type uuid")


def test_what_is_tried_together_in_the_end_is_named_so_by_its_keys(
    noted: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "_MOST", 0)
    with noted.copied() as copy:
        noted.execute("DELETE FROM notes")
        noted.execute("ALTER TABLE notes ALTER said TYPE varchar(5)")
        plan = noted.restore(copy)
        assert states(plan, "notes") == {"blocked": 3}
        (why,) = reasons(plan, "notes")
        assert why.startswith("tried together with other rows, after 1,000 had failed")
        (kept,) = (table for table in plan.tables if table.table == "notes")
        assert [sample.key for sample in kept.samples] == ["1", "2", "3"]


def test_columns_that_the_database_numbers_or_computes_keep_no_row_out(noted: World) -> None:
    with noted.copied() as copy:
        noted.execute("DELETE FROM notes WHERE id < 3")
        noted.execute("ALTER TABLE notes ADD place integer GENERATED ALWAYS AS IDENTITY")
        noted.execute("ALTER TABLE notes ADD other integer GENERATED BY DEFAULT AS IDENTITY")
        noted.execute("ALTER TABLE notes ADD twice bigint GENERATED ALWAYS AS (size * 2) STORED")
        plan = noted.restore(copy)
        assert states(plan, "notes") == {"missing": 2, "same": 1}
        found = noted.connection.execute("SELECT place, other, twice FROM notes WHERE id = 2")
        (place, other, twice) = found.fetchone() or (None, None, None)
        assert place is not None
        assert other is not None
        assert twice == 140_000


def test_tables_whose_rows_are_hidden_end_it_before_anything_is_written(noted: World) -> None:
    with noted.copied() as copy:
        noted.execute("DELETE FROM notes")
        as_administrator(
            noted.database,
            "ALTER TABLE notes ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE notes FORCE ROW LEVEL SECURITY",
        )
        for apply in (False, True):
            with pytest.raises(OpsError, match=r"row-level security of public\.notes holds"):
                noted.restore(copy, apply=apply)
        as_administrator(
            noted.database,
            "ALTER TABLE notes NO FORCE ROW LEVEL SECURITY",
        )
        assert noted.restore(copy).inserts == 6
