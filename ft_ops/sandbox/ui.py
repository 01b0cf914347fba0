"""The Dagster UI over a sandbox: code server, daemon and web server, until a signal ends them."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console

from ft_ops.errors import OpsError
from ft_ops.sandbox.run import tied_to_us

LOCATION: Final = "ft_ops"
"""The code location that it shows."""
_READY_SECONDS = 120
_END_SECONDS = 20
_HOST = "127.0.0.1"

Process = subprocess.Popen[bytes]


def serve_ui(port: int, console: Console) -> None:
    """Show the UI on that port of this machine until SIGINT or SIGTERM."""
    ended = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: ended.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        _serve(port, console, ended)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _serve(port: int, console: Console, ended: threading.Event) -> None:
    refuse_a_used_port(port)
    home = Path(os.environ["DAGSTER_HOME"])
    code_port = _free_port()
    workspace = home / "workspace.yaml"
    workspace.write_text(
        f"load_from: [{{grpc_server: {{host: {_HOST}, port: {code_port},"
        f" location_name: {LOCATION}}}}}]\n"
    )
    programs = Path(sys.executable).parent
    code = [programs / "dagster", "code-server", "start", "-h", _HOST, "-p", code_port]
    daemon = [programs / "dagster-daemon", "run", "-w", workspace]
    web = [programs / "ft-ops", "web", "-h", _HOST, "-p", port, "-w", workspace]
    with _running([*code, "-m", "ft_ops.definitions"]) as code_server:
        _wait_for(code_port, code_server, ended)
        with _running(daemon) as daemon_process, _running(web) as web_server:
            _wait_for(port, web_server, ended)
            if not ended.is_set():
                _announce(port, console)
            _wait_for_the_end([code_server, daemon_process, web_server], ended)


def _announce(port: int, console: Console) -> None:
    variables = Path(os.environ["DAGSTER_HOME"]).with_name("environment")
    variables.write_text(environment_script(os.environ))
    for line in (
        f"\nDagster's UI: http://{_HOST}:{port} (Ctrl-C ends it and the sandbox)",
        f"The sandbox, from another terminal: . {shlex.quote(str(variables))}",
        'then, for example: ft-ops doctor, or psql "$FT_DATABASE_URL"',
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def environment_script(environment: Mapping[str, str]) -> str:
    """What a shell reads to use this sandbox: its variables, and the programs beside ours."""
    names = ("AWS_", "DAGSTER_", "FT_", "NO_PROXY", "no_proxy")
    lines = [
        f"export {name}={shlex.quote(value)}\n"
        for name, value in sorted(environment.items())
        if name.startswith(names)
    ]
    return "".join([*lines, f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH\n"])


@contextmanager
def _running(command: Sequence[object]) -> Iterator[Process]:
    """A process in a session of its own, ended with the block: politely, then not."""
    process = subprocess.Popen(
        [str(part) for part in command],
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
        # Ctrl-C in a terminal is for us: we end what we started in the right order.
        start_new_session=True,
        preexec_fn=tied_to_us(),  # noqa: PLW1509
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(port: int, process: Process, ended: threading.Event) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not ended.wait(0.2):
        with socket.socket() as probe:
            if probe.connect_ex((_HOST, port)) == 0:
                return
        _refuse_an_ended([process])
        if time.monotonic() > deadline:
            raise OpsError(
                "Dagster UI",
                cause=f"{_name(process)} did not answer within {_READY_SECONDS} s",
                next_step="see its messages above, and try again on a less busy machine",
            )


def _wait_for_the_end(processes: Sequence[Process], ended: threading.Event) -> None:
    while not ended.wait(0.5):
        _refuse_an_ended(processes)


def _refuse_an_ended(processes: Sequence[Process]) -> None:
    for process in processes:
        if process.poll() is not None:
            raise OpsError(
                "Dagster UI",
                cause=f"{_name(process)} ended with exit status {process.returncode}",
                next_step="see its messages above",
            )


def _name(process: Process) -> str:
    program, verb, *_ = map(str, process.args)  # type: ignore[arg-type]
    return f"{Path(program).name} {verb}"


def refuse_a_used_port(port: int) -> None:
    """Refuse a port on which something else listens, or that we may not have."""
    cause = ""
    with socket.socket() as probe:
        if probe.connect_ex((_HOST, port)) == 0:
            cause = f"something else listens on port {port}"
    with socket.socket() as probe:
        # What has just ended is no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            cause = cause or f"port {port} can't be had: {error.strerror}"
    if cause:
        raise OpsError(
            "Dagster UI", cause=cause, next_step="choose another one: ft-ops demo --ui --port …"
        )


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((_HOST, 0))
        return int(free.getsockname()[1])
