"""Which disk is measured: the one on which the data lie, of a server that is on this machine."""

from __future__ import annotations

import os
import select
import shlex
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp

import pytest

from ft_ops.pg.connect import connected
from ft_ops.pg.disk import other_volumes_here, volume_here
from ft_ops.pg.server import (
    Server,
    embedded_binaries,
    hand_over,
    initialise,
    place_to_listen,
    reachable_binaries,
    run_program,
    stop,
)


@pytest.fixture
def elsewhere(place: Path) -> Iterator[Path]:
    """A folder on another volume than the tests' own."""
    roots = [Path("/dev/shm"), Path("/tmp"), Path("/var/tmp")]
    found = [r for r in roots if r.is_dir() and r.stat().st_dev != place.stat().st_dev]
    if not found:
        pytest.skip("there is one volume here")
    folder = Path(mkdtemp(prefix="ft-data-", dir=found[0]))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def tunnel(port: int) -> Iterator[int]:
    """The port of a program that passes on what comes, as ssh -L or kubectl port-forward does."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve() -> None:
            near, _ = door.accept()
            with near, socket.create_connection(("127.0.0.1", port)) as far:
                others = {near: far, far: near}
                while True:
                    ready, _, _ = select.select([near, far], [], [])
                    for end in ready:
                        data = end.recv(65536)
                        if not data:
                            return
                        others[end].sendall(data)

        passing = threading.Thread(target=serve)
        passing.start()
        yield door.getsockname()[1]
        passing.join()


def test_the_disk_is_the_one_of_the_data_and_of_a_server_that_is_here(
    place: Path, elsewhere: Path
) -> None:
    """The data folder may be a mount or a link, and the end of a tunnel is on this machine, too."""
    bin_dir = reachable_binaries(embedded_binaries(), place / "postgres")
    made = Server(bin_dir, elsewhere / "data", place / "run")
    initialise(made)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    link = place / "data"
    link.symlink_to(made.data_dir)
    hand_over(place)
    size = os.statvfs(made.data_dir)
    with listening(replace(made, data_dir=link), port):
        socket_url = f"host={made.socket_dir} port={port} user=postgres dbname=postgres"
        for url in (socket_url, tcp(port)):
            with connected(url, application="tests") as here:
                room = volume_here(here)
                assert room is not None
                assert room[0] == size.f_blocks * size.f_frsize
                assert other_volumes_here(here) == {}
        with tunnel(port) as end, connected(tcp(end), application="tests") as away:
            assert volume_here(away) is None
            assert other_volumes_here(away) == {}


@contextmanager
def listening(server: Server, port: int) -> Iterator[None]:
    """The server, also on a port of this machine."""
    options = [*place_to_listen(server), "--listen_addresses=127.0.0.1", f"--port={port}"]
    start = ["start", "--pgdata", str(server.data_dir), "--wait", "--log", str(server.log_file)]
    run_program(server, "pg_ctl", [*start, "--options", shlex.join(options)])
    try:
        yield
    finally:
        stop(server, mode="immediate")


def tcp(port: int) -> str:
    return f"host=127.0.0.1 port={port} user=postgres dbname=postgres"
