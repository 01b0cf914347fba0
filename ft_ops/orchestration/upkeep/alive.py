"""A run's process says that it lives: by an advisory lock, which ends with the process.

Dagster's launchers for Amazon ECS and Kubernetes can tell that a run's process is gone, its default
one can't: a process that died while Dagster's own database was away leaves a run that is started
for hours, and with it the slot of its pool. The lock is in the application's database, where
whatever dies, however it dies, lets go of it within minutes.

In which database the lock is, the run's tag says: whoever looks in another one, because two code
locations share Dagster's storage or FT_DATABASE_URL has changed, can't tell anything of that run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg.errors import FeatureNotSupported, InsufficientPrivilege

from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection, connected
from ft_ops.pg.rows import one_row
from ft_ops.pg.sqlfiles import statement

WATCHED_TAG: Final = "ft-ops/watched"
"""The tag of a run whose process says that it lives. Of others nothing can be told."""

WATCHED_IN_TAG: Final = "ft-ops/watched-in"
"""The tag that names the database of the lock, once it was taken; empty before."""

LOOKED_AFTER_SECONDS: Final = 20.0
"""How often the process sees to it that its lock is still held, and how soon it tries again."""


_LAST_WAIT_SECONDS: Final = 2.0
"""For the connection to be closed in order; the end of the process closes it, too."""


@contextmanager
def saying_alive(run_id: str, url: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a run for a block; the run never waits for it, nor fails because of it.

    ``tell`` is given the name of the database, each time that the lock is taken there.
    """
    done = threading.Event()
    holder = threading.Thread(
        target=_hold, args=(run_id, url, tell, done), name="alive", daemon=True
    )
    holder.start()
    try:
        yield
    finally:
        done.set()
        holder.join(_LAST_WAIT_SECONDS)


def silent_runs(connection: Connection, runs: Collection[str]) -> list[str]:
    """Of these runs, those whose process does not say that it lives."""
    rows = connection.execute(statement("orchestration/silent_runs"), {"runs": list(runs)})
    return [run_id for (run_id,) in rows]


def database_of_run(connection: Connection) -> str | None:
    """Which database this is, None where the server does not let its control file be read."""
    try:
        (name,) = one_row(connection.execute(statement("orchestration/database_of_run")))
    except (InsufficientPrivilege, FeatureNotSupported):
        return None
    return str(name)


def _hold(run_id: str, url: str, tell: Callable[[str], None], done: threading.Event) -> None:
    while not done.is_set():
        try:
            with connected(url, application=f"run {run_id[:8]}") as connection:
                # Whoever loses its power says no word: TCP notices it, in two minutes.
                for name, value in (("idle", "60"), ("interval", "10"), ("count", "6")):
                    connection.execute(
                        "SELECT set_config(%s, %s, false)", (f"tcp_keepalives_{name}", value)
                    )
                connection.execute(statement("orchestration/say_alive"), {"run_id": run_id})
                database = database_of_run(connection)
                if database is not None:
                    tell(database)
                while not done.wait(LOOKED_AFTER_SECONDS):
                    connection.execute("SELECT")
        except (OpsError, psycopg.Error):
            done.wait(LOOKED_AFTER_SECONDS)
