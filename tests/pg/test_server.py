"""Throw-away servers: their own socket only, readable failures, root or not."""

from __future__ import annotations

import locale
import os
import shutil
from pathlib import Path

import psycopg
import pytest

from ft_ops.errors import OpsError, explained
from ft_ops.pg.server import (
    Server,
    configure,
    embedded_binaries,
    hand_over,
    initialise,
    is_running,
    plain_locale,
    reachable_binaries,
    run_program,
    running,
    start,
    stop,
)


@pytest.fixture
def server(place: Path) -> Server:
    made = server_in(place, embedded_binaries())
    initialise(made)
    return made


def server_in(place: Path, bin_dir: Path) -> Server:
    return Server(
        bin_dir=reachable_binaries(bin_dir, place / "copy"),
        data_dir=place / "data",
        socket_dir=place / "run",
    )


def test_a_server_starts_with_its_settings_and_stops(server: Server) -> None:
    configure(server, {"work_mem": "5MB"})
    configure(server, {"work_mem": "6MB", "cluster_name": r"it's a \ drill"})
    with running(server), psycopg.connect(server.url()) as connection:
        for name, value in (
            ("work_mem", "6MB"),
            ("cluster_name", r"it's a \ drill"),
            ("data_checksums", "on"),
            ("listen_addresses", ""),
        ):
            assert connection.execute(f"SHOW {name}").fetchone() == (value,)
        assert is_running(server)
    assert not is_running(server)
    stop(server)


def test_a_copied_data_folder_never_listens_where_its_original_does(
    server: Server, place: Path
) -> None:
    configure(server, {"unix_socket_directories": str(server.socket_dir), "port": "6000"})
    copy = Server(
        bin_dir=server.bin_dir, data_dir=place / "restored", socket_dir=place / "run-restored"
    )
    shutil.copytree(server.data_dir, copy.data_dir)
    hand_over(copy.data_dir)
    with running(server), running(copy), psycopg.connect(copy.url()) as connection:
        row = connection.execute("SHOW data_directory").fetchone()
    assert row == (str(copy.data_dir),)


def test_a_failed_start_quotes_the_servers_log(server: Server) -> None:
    configure(server, {"shared_preload_libraries": "no_such_library"})
    with pytest.raises(OpsError, match='could not access file "no_such_library"'):
        start(server)
    assert not is_running(server)


def test_initialise_refuses_a_folder_that_holds_anything(place: Path) -> None:
    server = server_in(place, embedded_binaries())
    server.data_dir.mkdir()
    (server.data_dir / "precious").touch()
    with pytest.raises(OpsError, match="not empty"):
        initialise(server)
    assert [entry.name for entry in server.data_dir.iterdir()] == ["precious"]


def test_a_socket_path_over_the_systems_limit_is_named(server: Server, place: Path) -> None:
    far = Server(bin_dir=server.bin_dir, data_dir=server.data_dir, socket_dir=place / ("x" * 80))
    with pytest.raises(OpsError, match="107 is the system's limit"):
        start(far)


def test_a_machine_without_a_locale_in_utf_8_gets_a_server_all_the_same() -> None:
    before = locale.setlocale(locale.LC_CTYPE)
    nowhere = ("nowhere.UTF-8", "nowhere.UTF-8")
    assert plain_locale([nowhere, ("C", before)]) == ("C", before)
    assert plain_locale([nowhere]) == ("C", "C")
    assert locale.setlocale(locale.LC_CTYPE) == before


def test_a_program_that_does_not_end_is_given_up_and_told_with_its_next_step(place: Path) -> None:
    program = place / "pg_checksums"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    server = Server(place, place / "data", place / "run")
    with pytest.raises(OpsError, match=r"did not end: .*pg_checksums") as told, explained("blocks"):
        run_program(server, "pg_checksums", [], seconds=0.1)
    assert "see what it waits for" in told.value.next_step


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs servers as somebody else")
def test_root_runs_programs_that_only_root_can_reach(place: Path) -> None:
    private = place / "private"
    private.mkdir(mode=0o700)
    installation = embedded_binaries().parent
    package = installation.parent
    for tree in (installation, package.with_name(f"{package.name}.libs")):
        copy = private / tree.relative_to(package.parent)
        shutil.copytree(tree, copy, symlinks=True)
    server = server_in(place, private / package.name / installation.name / "bin")
    initialise(server)
    with running(server), psycopg.connect(server.url()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert server.data_dir.owner() == "nobody"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs servers as somebody else")
def test_root_is_told_of_a_folder_that_the_server_cannot_enter(place: Path) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    server = server_in(closed, embedded_binaries())
    with pytest.raises(OpsError, match="can't enter its parents"):
        initialise(server)
