"""The UI over a sandbox says where it is, lets other terminals in, and ends when it is told to."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import closing
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


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=pytest.mark.chaos), signal.SIGTERM]
)
def test_it_ends_by_a_signal_even_where_a_script_ignored_it(number: signal.Signals) -> None:
    port = free_port()
    ignoring = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"]
    with subprocess.Popen(
        [*ignoring, sys.executable, "-c", IN_A_SANDBOX, str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "200"},
        start_new_session=True,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = ""
        while "psql" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        variables = re.search(r"another terminal: \. (\S+)", said)
        assert variables is not None
        assert f"http://127.0.0.1:{port}" in said
        shown = subprocess.run(
            ["sh", "-c", f'. {variables[1]}; echo "$FT_DATABASE_URL"; command -v ft-ops'],
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
    assert not Path(variables[1]).parent.exists()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


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
