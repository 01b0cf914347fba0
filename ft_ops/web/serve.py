"""Runs Dagster's own web server behind the doors, with the options that it has."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from ft_ops.errors import OpsError
from ft_ops.settings import load_settings
from ft_ops.web.doors import Doors

_MAKE = "create_app_from_workspace_process_context"
_OF_A_WORKSPACE = "let -w name a file such as this project's workspace.yaml"
_HOST = "127.0.0.1"
_NOT_STARTED = 3
"""What uvicorn ends with when it could not begin."""
_VARIABLES = "DAGSTER_WEBSERVER"
"""What the variables begin with that set an option, such as DAGSTER_WEBSERVER_PORT."""


def serve(arguments: Sequence[str]) -> None:
    """Be Dagster's web server until a signal ends it. ``arguments`` are its command line's."""
    try:
        from dagster import DagsterError
        from dagster_webserver import cli

        from ft_ops.orchestration.upkeep.condition import STORAGE_ERRORS, unreachable
    except ImportError as error:
        raise OpsError(
            "web server",
            cause="the package dagster-webserver is not installed",
            next_step="install the extra: pip install 'ft-ops[sandbox]'",
        ) from error
    hosts = load_settings().web_hosts
    # Dagster's server makes its application by this name, and hands it on within one function.
    make = getattr(cli, _MAKE, None)
    if make is None:
        raise OpsError(
            "web server",
            cause=f"dagster-webserver has no {_MAKE}: nothing could be put before it",
            next_step="install the version that requirements.lock names",
        )

    def make_guarded(*positional: Any, **named: Any) -> Doors:
        return Doors(make(*positional, **named), hosts)

    setattr(cli, _MAKE, make_guarded)
    options = _read(cli.cli, arguments)
    _require_a_port(options.get("port"))
    _require_a_free_address(options.get("host"), options.get("port"))
    for file in options.get("workspace") or ():
        _require_a_workspace(Path(file))
    try:
        cli.cli.main(
            list(arguments),
            prog_name="ft-ops web",
            auto_envvar_prefix=_VARIABLES,
            standalone_mode=False,
        )
    except SystemExit as ended:
        if ended.code != _NOT_STARTED:
            raise
        raise OpsError(
            "web server",
            cause="it could not begin to listen, as its last line says",
            next_step="see who has its address (ss -ltnp), or choose another: -h, -p",
        ) from ended
    except (DagsterError, *STORAGE_ERRORS) as error:
        told = " ".join(str(error).split())
        if "workspace config" not in told:
            raise unreachable(error) from error
        raise OpsError("workspace", cause=told[:300], next_step=_OF_A_WORKSPACE) from error


def _read(command: click.Command, arguments: Sequence[str]) -> Mapping[str, Any]:
    """The options as Dagster reads them; what can't be read is none, and told by it later."""
    return command.make_context(
        "ft-ops web", list(arguments), auto_envvar_prefix=_VARIABLES, resilient_parsing=True
    ).params


def _require_a_port(port: int | None) -> None:
    """Dagster's server takes any number, loads for a minute, and ends without a word."""
    if port is not None and not 0 < port < 65536:
        raise OpsError(
            f"port {port}",
            cause="it must lie between 1 and 65535",
            next_step="choose another, or leave it out for 3000",
        )


def _require_a_free_address(host: str | None, port: int | None) -> None:
    """Dagster's server loads for a minute, and then shows the operating system's words."""
    name = f"{host or _HOST}:{port}" if port is not None else host or _HOST
    try:
        found = socket.getaddrinfo(host or _HOST, port or 0, type=socket.SOCK_STREAM)
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as probe:
                # What has just ended is no hindrance.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except (OSError, UnicodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else None
        raise OpsError(
            f"address {name}",
            cause=f"the web server can't listen there: {cause or error}",
            next_step="see who has it (ss -ltnp), or choose another: -h, -p",
        ) from error


def _require_a_workspace(file: Path) -> None:
    """Dagster shows the stack of its calls for a file that lists no places to load code from."""
    try:
        written = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        cause = error.strerror or str(error)
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        cause = f"it is no YAML: {' '.join(str(error).split())}"
    else:
        if isinstance(written, Mapping) and isinstance(written.get("load_from"), list):
            return
        cause = "it has no list load_from of places to load code from"
    raise OpsError(f"workspace {file}", cause=cause, next_step=_OF_A_WORKSPACE)
