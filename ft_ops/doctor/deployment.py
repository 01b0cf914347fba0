"""Examines a whole deployment, part by part; what one part lacks hides no other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime

from ft_ops.archive import load_prices
from ft_ops.doctor.alerts import examine_alerts
from ft_ops.doctor.database import examine_database
from ft_ops.doctor.findings import Finding, can_write_to, failed
from ft_ops.doctor.orchestration import examine_dagster
from ft_ops.doctor.storage import examine_storage
from ft_ops.errors import OpsError
from ft_ops.settings import Settings, load_settings
from ft_ops.spans import endpoint_variable, is_installed


def examine(now: datetime) -> Iterator[Finding]:
    """Look at everything that the jobs need, in the order in which to mend it."""
    try:
        settings = load_settings()
    except OpsError as error:
        yield failed("settings", error)
        return
    yield _settings()
    yield from examine_database(settings, now)
    yield from examine_storage(settings)
    yield from examine_dagster(now)
    yield examine_alerts(settings)
    yield from _spans()
    yield from _files(settings)


def _files(settings: Settings) -> Iterator[Finding]:
    """Files that the settings name and that a job needs only some day; of the rest, nothing."""
    if settings.archive_prices_file is not None:
        try:
            load_prices(settings.archive_prices_file)
        except OpsError as error:
            yield failed("FT_ARCHIVE_PRICES_FILE", error)
    textfile = settings.metrics_textfile
    if textfile is not None and not can_write_to(textfile.parent):
        yield Finding(
            "FT_METRICS_TEXTFILE",
            "failed",
            f"no file can be made in {textfile.parent}",
            "let it name a file in the node exporter's folder, and give ft-ops the right to write "
            "there",
        )


def _spans() -> Iterator[Finding]:
    """A collector that is named and gets nothing; where none is named there is nothing to say."""
    variable = endpoint_variable()
    if variable is not None and not is_installed():
        yield Finding(
            "spans",
            "failed",
            f"{variable} is set, and the packages of OpenTelemetry are not installed",
            "install ft-ops[otel], or unset it",
        )


def _settings() -> Finding:
    known = {f"FT_{name.upper()}" for name in Settings.model_fields}
    given = {name.upper() for name in os.environ if name.upper().startswith("FT_")}
    # Those of the sandbox are read where it starts.
    strange = {name for name in given - known if not name.startswith("FT_SANDBOX_")}
    if strange:
        return Finding(
            "settings",
            "limited",
            f"{', '.join(sorted(strange))}: nothing reads this; the others are valid",
            "look for the name that was meant: ft-ops settings lists all of them",
        )
    return Finding("settings", "ok", "every FT_* variable is valid")
