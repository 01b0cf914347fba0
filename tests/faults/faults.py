"""What is done to a run that stands at its point."""

from __future__ import annotations

from collections.abc import Iterable

import psycopg

from tests.faults.chaos import Fault, Step, path, unclear, wait_until
from tests.faults.runs import Run, Zygote
from tests.faults.world import World


def kill(run: Run, world: World) -> Iterable[str]:
    """SIGKILL."""
    run.kill()
    return ()


def cancel(run: Run, world: World) -> Iterable[str]:
    """An interruption, as from Dagster's UI."""
    run.cancel()
    return ()


def cut_connections(run: Run, world: World) -> Iterable[str]:
    """The server ends every connection of the run; the run goes on without."""
    _terminate(world, "ft-ops %")
    run.go_on()
    return ()


def superseded_by(zygote: Zygote, step: Step) -> Fault:
    """The run loses its main connection, and with it its lock, and does not notice; a second run
    does all of the work, or says what the first one still holds; then the first one goes on."""

    def split_brain(run: Run, world: World) -> Iterable[str]:
        _terminate(world, "ft-ops archive")
        second = zygote.finish(path(step), world.arguments)
        run.go_on()
        return unclear(second)

    return split_brain


def joined_by(zygote: Zygote, step: Step) -> Fault:
    """A second run begins while the first one stands: it is refused, or does all of the work."""

    def join(run: Run, world: World) -> Iterable[str]:
        second = zygote.finish(path(step), world.arguments)
        run.go_on()
        return unclear(second)

    return join


def _terminate(world: World, application: str) -> None:
    with psycopg.connect(world.database.server_url, autocommit=True) as connection:
        pids = connection.execute(
            "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND application_name LIKE %s",
            [world.database.name, application],
        ).fetchall()
        wait_until(
            lambda: (
                connection.execute(
                    "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = ANY (%s))",
                    [[pid for pid, _ in pids]],
                ).fetchone()
                == (True,)
            )
        )
