"""Dagster's way to the database and to the settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from ft_ops.errors import OpsError, explained, quotes_rows
from ft_ops.items import SomeFailed
from ft_ops.orchestration.internals import RawMetadataValue
from ft_ops.orchestration.metadata import table
from ft_ops.pg.connect import Connection, primary
from ft_ops.settings import Settings, load_settings
from ft_ops.spans import TracedStep, within_step


@dg.resource(description="The settings of this deployment, read from FT_* when a run begins.")
def settings_resource(_context: dg.InitResourceContext) -> Settings:
    """Dagster's way to the settings; an asset's parameter is a ``ResourceParam[Settings]``."""
    return load_settings()


class DatabaseResource(dg.ConfigurableResource[Connection]):
    """The application's database as the operations role; its URL never enters run config."""

    @contextmanager
    def connect(self, application: str, **settings: str) -> Iterator[Connection]:
        """An autocommit connection for a block, closed after it."""
        url = load_settings().require_database_url()
        with primary(url, application=application, settings=settings) as connection:
            yield connection


def _step_here() -> TracedStep | None:
    """The step that this process is at; None outside of one."""
    try:
        context = dg.OpExecutionContext.get()
    except dg.DagsterInvariantViolationError:
        return None
    return TracedStep(context.run_id, str(context.op_handle))


def _forget_rows(error: BaseException | None) -> None:
    """Leave the first line alone where the next ones quote rows: "DETAIL: Failing row contains …".

    Dagster keeps the messages of a whole chain of errors in its event log, and shows them.
    """
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if quotes_rows(one):
            one.args = tuple(str(one).splitlines()[:1])
        waiting += [one.__cause__, one.__context__]


@contextmanager
def as_failure() -> Iterator[None]:
    """Turn an OpsError into a dagster.Failure that names what failed, why, and what to do.

    Likewise every other error that a person can cause. Of many items, each that failed has a row
    of its own. Not retried: whatever an OpsError names wants an operator, or the next scheduled
    run.
    """
    try:
        with within_step(_step_here()), explained("this step"):
            yield
    except OpsError as error:
        _forget_rows(error)
        metadata: dict[str, RawMetadataValue] = {
            "what": error.what,
            "cause": error.cause,
            "next step": error.next_step,
        }
        if isinstance(error, SomeFailed):
            metadata["failed"] = table(
                ["name", "cause", "next step"],
                ((item.name, item.cause, item.next_step) for item in error.failed),
            )
        raise dg.Failure(description=str(error), metadata=metadata, allow_retries=False) from error
    except Exception as error:
        _forget_rows(error)
        raise
