"""What is done to a run that stands at its point."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path

import psycopg

from ft_ops.errors import OpsError
from ft_ops.pg import server as servers
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


def kill_server(run: Run, world: World) -> Iterable[str]:
    """SIGKILL of the postmaster: the server is started again and recovers from its log."""
    with psycopg.connect(world.database.server_url) as connection:
        server = server_of(connection)
    pid = int((server.data_dir / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not servers.is_running(server))
    wait_until(lambda: _starts(server))
    run.go_on()
    return ()


def server_of(connection: psycopg.Connection) -> servers.Server:
    """The server on this machine that a connection is to."""
    [[data, sockets, pid]] = connection.execute(
        "SELECT current_setting('data_directory'), current_setting('unix_socket_directories'),"
        " pg_backend_pid()"
    ).fetchall()
    program = Path(f"/proc/{pid}/exe")
    assert program.exists(), "the server is on another machine"
    return servers.Server(program.readlink().parent, Path(data), Path(sockets))


def _starts(server: servers.Server) -> bool:
    """It does not while the dead one is a process yet, or one that it left still has its memory."""
    try:
        servers.start(server)
    except OpsError:
        log = servers.server_log(server)
        assert "pre-existing shared memory block" in log or "postmaster.pid" in log
        return False
    return True


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
