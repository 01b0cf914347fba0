"""Tables that need maintenance."""

from __future__ import annotations

from psycopg import sql

from ft_ops.pg.connect import Connection


def flush_counters(connection: Connection) -> None:
    """Make this session's counters visible now; a session that goes idle does it in a second."""
    connection.execute("SELECT pg_stat_force_next_flush()")


def make_letters(connection: Connection, table: str = "letters", *, rows: int = 20_000) -> None:
    """A table that autovacuum leaves alone, with a unique and an ordinary index, just vacuumed."""
    name = sql.Identifier(table)
    connection.execute(
        sql.SQL(
            "CREATE TABLE {} (id uuid PRIMARY KEY, sender integer) WITH (autovacuum_enabled = off)"
        ).format(name)
    )
    connection.execute(
        sql.SQL("CREATE INDEX {} ON {} (sender)").format(sql.Identifier(f"{table}_sender"), name)
    )
    connection.execute(
        sql.SQL(
            "INSERT INTO {} SELECT gen_random_uuid(), g FROM generate_series(1, %s) AS g"
        ).format(name),
        (rows,),
    )
    settle(connection, table)


def thin_out(connection: Connection, table: str = "letters") -> None:
    """Delete four of five rows and vacuum: the indexes keep the pages."""
    connection.execute(
        sql.SQL("DELETE FROM {} WHERE sender % 5 <> 0").format(sql.Identifier(table))
    )
    settle(connection, table)


def settle(connection: Connection, table: str) -> None:
    flush_counters(connection)
    connection.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(table)))


def index_bytes(connection: Connection, index: str) -> int:
    row = connection.execute("SELECT pg_relation_size(%s::regclass)", (index,)).fetchone()
    assert row is not None
    return int(row[0])
