"""Runs Dagster's own web server behind the doors, with the options that it has."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from ft_ops.errors import OpsError
from ft_ops.settings import load_settings
from ft_ops.web.doors import Doors

_MAKE = "create_app_from_workspace_process_context"


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
    _require_a_port(arguments)
    sys.argv[:] = ["ft-ops web", *arguments]
    try:
        cli.main()  # type: ignore[no-untyped-call]
    except (DagsterError, *STORAGE_ERRORS) as error:
        raise unreachable(error) from error


def _require_a_port(arguments: Sequence[str]) -> None:
    """Dagster's server takes any number, loads for a minute, and ends without a word."""
    given = dict(pairwise(arguments))
    text = given.get("--port") or given.get("-p") or ""
    if text.isdigit() and not 0 < int(text) < 65536:
        raise OpsError(
            f"port {text}",
            cause="it must lie between 1 and 65535",
            next_step="choose another, or leave it out for 3000",
        )
