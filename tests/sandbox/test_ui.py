"""The UI over a sandbox says where it is, lets other terminals in, and ends when it is told to."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest
from rich.console import Console

from ft_ops.errors import OpsError
from ft_ops.sandbox.ui import environment_script, serve_ui

pytestmark = pytest.mark.server

SHOW = (
    "import sys; from rich.console import Console; from ft_ops.sandbox.ui import serve_ui;"
    " serve_ui(int(sys.argv[1]), Console())"
)
IN_A_SANDBOX = (
    "import sys; from ft_ops.sandbox import run_in_sandbox;"
    f" sys.exit(run_in_sandbox([sys.executable, '-c', {SHOW!r}, sys.argv[1]]))"
)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


STAND_IN = f"""#!{sys.executable}
import pathlib, re, signal, socket, sys
said = pathlib.Path(__file__).with_name("said").open("a", buffering=1)
name = pathlib.Path(__file__).name
def end(*_):
    said.write(name + " ended\\n")
    sys.exit()
signal.signal(signal.SIGTERM, end)
port = re.search("-p ([0-9]+)", " ".join(sys.argv))
listener = socket.create_server(("127.0.0.1", int(port[1]))) if port else None
said.write(name + " began\\n")
signal.pause()
"""
"""Listens where it is told to, and says when it begins and ends: the programs of a UI are slow."""

SHOW_STAND_INS = (
    "import sys; from rich.console import Console; sys.executable = sys.argv[2];"
    " from ft_ops.sandbox.ui import serve_ui; serve_ui(int(sys.argv[1]), Console())"
)


@contextmanager
def started(*command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A program whose script ignores Ctrl-C, as one in a shell's background does."""
    ignoring = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"]
    with subprocess.Popen(
        [*ignoring, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "200", **environment},
        start_new_session=True,
        text=True,
    ) as process:
        yield process


def announced(process: subprocess.Popen[str], port: int) -> Path:
    """Wait until it says where it is; the file of variables for other terminals."""
    assert process.stdout is not None
    said = ""
    while "psql" not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    assert f"http://127.0.0.1:{port}" in said
    variables = re.search(r"another terminal: \. (\S+)", said)
    assert variables is not None
    return Path(variables[1])


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_its_programs_by_a_signal_even_where_a_script_ignored_it(
    number: signal.Signals, tmp_path: Path
) -> None:
    port = free_port()
    for name in ("dagster", "dagster-daemon", "ft-ops"):
        (tmp_path / name).write_text(STAND_IN)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "home").mkdir()
    command = [sys.executable, "-c", SHOW_STAND_INS, str(port), str(tmp_path / "python")]
    with started(*command, DAGSTER_HOME=str(tmp_path / "home")) as process:
        variables = announced(process, port)
        assert f"export PATH={tmp_path}:$PATH" in variables.read_text()
        assert is_listening(port)
        process.send_signal(number)
        assert process.wait(timeout=100) == 0
    assert not is_listening(port)
    said = (tmp_path / "said").read_text().split("\n")
    assert said[0] == "dagster began"
    assert set(said[1:3]) == {"dagster-daemon began", "ft-ops began"}
    assert said[3:] == ["ft-ops ended", "dagster-daemon ended", "dagster ended", ""]


@pytest.mark.chaos
@pytest.mark.timeout(400)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_of_a_whole_ui(number: signal.Signals) -> None:
    port = free_port()
    with started(sys.executable, "-c", IN_A_SANDBOX, str(port)) as process:
        variables = announced(process, port)
        shown = subprocess.run(
            ["sh", "-c", f'. {variables}; echo "$FT_DATABASE_URL"; command -v ft-ops'],
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            check=True,
            text=True,
        )
        assert "familytales" in shown.stdout
        assert str(Path(sys.executable).with_name("ft-ops")) in shown.stdout
        with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            connection.request("GET", "/graphql?query={version}")
            assert connection.getresponse().status == 405
        process.send_signal(number)
        assert process.wait(timeout=100) == 0
    assert not variables.parent.exists()
    assert not is_listening(port)


def test_a_port_that_is_taken_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OpsError, match=f"something else listens on port {port}"):
            serve_ui(port, Console())


def test_other_terminals_get_the_sandboxs_variables_and_no_others() -> None:
    script = environment_script({"FT_DATABASE_URL": "a'b c", "AWS_REGION": "x", "SECRET": "y"})
    assert "export FT_DATABASE_URL='a'\"'\"'b c'\n" in script
    assert "SECRET" not in script
