"""The one place where the model calls the archive: each step as its asset's function runs it.

Or through Dagster, which is the same with an instance, a run and its events around it.
"""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any, Final, Literal, TypeAlias, cast, get_args

import dagster as dg

from ft_ops.archive import (
    HeldSubject,
    add_searched_hold,
    record_archived,
    release_hold,
    search_before,
)
from ft_ops.archive import run as archive_run
from ft_ops.archive.assets import (
    archived_content_segments,
    content_archive,
    purged_content_segments,
)
from ft_ops.archive.erase_assets import (
    EraseConfig,
    erased_archive_content,
    superseded_archive_content,
)
from ft_ops.archive.keep.adopt import Adoption, adopt
from ft_ops.archive.purge import remove
from ft_ops.archive.recorded.ship import ship_records
from ft_ops.archive.resources import DryRunOff, DryRunOn
from ft_ops.archive.thaw_assets import (
    ThawConfig,
    refrozen_content_segments,
    thawed_content_segments,
)
from ft_ops.errors import OpsError
from ft_ops.months import Month
from ft_ops.orchestration import resources
from ft_ops.orchestration.resources import DatabaseResource, settings_resource
from ft_ops.partitions.assets import PartitionsConfig
from ft_ops.partitions.assets import assets as partition_assets
from ft_ops.pg.connect import connected
from ft_ops.s3.bucket import Bucket
from ft_ops.settings import Settings, load_settings
from tests.model.interruptions import Died

Step: TypeAlias = Literal[
    "reopen",
    "move",
    "archive",
    "purge",
    "thaw",
    "thaw a family",
    "cancel",
    "refreeze",
    "erase",
    "collect",
]
STEPS: Final[tuple[Step, ...]] = get_args(Step)

REMOVALS: Final[frozenset[Step]] = frozenset({"purge", "refreeze"})
"""Steps after whose begin rows may leave the database."""

WITHOUT_A_MONTH: Final[frozenset[Step]] = frozenset({"erase", "collect"})

REFUSED: Final = (OpsError, dg.Failure)
"""How an operation says no, or that something failed, in words."""

_KNOWN: Final = ("context", "config", "database", "settings")
_SMALL_BATCH: Final = 2


class Unclear(Exception):
    """An operation failed with something that names neither cause nor next step."""


@dataclass(slots=True)
class Operations:
    """The operations of one deployment. ``variables`` are its settings."""

    variables: dict[str, str]
    instance: dg.DagsterInstance | None = None
    """Steps run through it, if there is one."""
    said: list[str] = field(default_factory=list)
    """What the last step logged."""
    _read: Settings | None = None

    @contextmanager
    def deployed(self) -> Iterator[None]:
        """The environment of the deployment, for a block."""
        before = {name: os.environ.get(name) for name in self.variables}
        os.environ.update(self.variables)
        batch, remove.BATCH_ROWS = remove.BATCH_ROWS, _SMALL_BATCH
        # Made anew by each connection and by each step: a third of a life's time.
        read = resources.load_settings  # type: ignore[attr-defined]
        resources.load_settings = self._settings  # type: ignore[attr-defined]
        open_ = archive_run.open_bucket  # type: ignore[attr-defined]
        archive_run.open_bucket = cache(open_)  # type: ignore[attr-defined]
        try:
            yield
        finally:
            archive_run.open_bucket = open_  # type: ignore[attr-defined]
            resources.load_settings = read  # type: ignore[attr-defined]
            remove.BATCH_ROWS = batch
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def change(self, name: str, value: str) -> None:
        """A setting changes."""
        self.variables[name] = value
        os.environ[name] = value
        self._read = None

    def run(self, step: Step, month: Month, family: str | None = None) -> bool:
        """Run a step to its end; one of REFUSED, or Unclear, when it does not get there.

        Whether it did what it is for: a thaw that waits for Glacier has not.
        """
        self.said.clear()
        asset, config = _CALLS[step](family or "")
        return self._call(asset, None if step in WITHOUT_A_MONTH else month, config)

    def _settings(self) -> Settings:
        if self._read is None:
            self._read = load_settings()
        return self._read

    def hold(self, bucket: Bucket, **subject: Any) -> int:
        """Place a hold, as the command does: the archives are searched for what it holds, twice."""
        kinds = ("month", "family_id", "book_id", "thread_id", "user_id")
        on = cast("HeldSubject", {**dict.fromkeys(kinds), **subject})
        with self._connected() as connection:
            before = search_before(connection, bucket, on)
            placed = add_searched_hold(
                connection, on, before.found, reason="a case", person=None, force=False
            )
            return record_archived(connection, bucket, placed, before).id

    def release(self, hold: int) -> None:
        with self._connected() as connection:
            release_hold(connection, hold, "the case is closed")

    def ship(self) -> None:
        """What ship_archive_records does every quarter of an hour."""
        with self._connected() as connection:
            ship_records(archive_run.archive_run(connection, self._settings(), "model"))

    def adopt(self) -> Adoption:
        """As the command does, with --apply and --take-over."""
        with self._connected() as connection:
            run = archive_run.archive_run(connection, self._settings(), "model", self.said.append)
            return adopt(run, apply=True, take_over=True)

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        url = self._settings().require_database_url()
        with connected(url, application="holds", settings={"lock_timeout": "150ms"}) as connection:
            yield connection

    def _call(self, asset: dg.AssetsDefinition, month: Month | None, config: dg.Config) -> bool:
        call = self._by_dagster if self.instance is not None else self._directly
        return call(asset, month, config)

    def _directly(self, asset: dg.AssetsDefinition, month: Month | None, config: dg.Config) -> bool:
        function = asset.op.compute_fn.decorated_fn  # type: ignore[union-attr]
        given = {
            "context": _context(asset, month, self.said.append),
            "config": config,
            "database": DatabaseResource(),
            "settings": self._settings(),
        }
        wanted = inspect.signature(function).parameters
        assert set(wanted) <= set(_KNOWN), f"{asset.key} takes {sorted(wanted)}"
        try:
            result = function(**{name: given[name] for name in wanted})
            if inspect.isgenerator(result):
                return bool(list(result))
        except REFUSED:
            raise
        except Exception as error:
            raise Unclear(f"{type(error).__name__}: {error}") from error
        return True

    def _by_dagster(
        self, asset: dg.AssetsDefinition, month: Month | None, config: dg.Config
    ) -> bool:
        result = dg.materialize(
            [asset],
            instance=self.instance,
            partition_key=month.key if month else None,
            run_config=dg.RunConfig(ops={asset.op.name: config}),
            resources={"database": DatabaseResource(), "settings": settings_resource},
            raise_on_error=False,
        )
        for event in result.all_events:
            if event.is_step_failure:
                raise _as_raised(event)
        assert result.success
        return bool(result.asset_materializations_for_node(asset.op.name))


def _as_raised(event: dg.DagsterEvent) -> BaseException:
    """What a step of Dagster's failed by, as if it had been called."""
    error = event.step_failure_data.error
    if error is None:
        return Unclear("a step failed by nothing")
    chain = [error]
    while chain[-1].cause is not None:
        chain.append(chain[-1].cause)
    names = [link.cls_name for link in chain]
    if Died.__name__ in names:
        return Died()
    if dg.Failure.__name__ in names:
        return dg.Failure(chain[names.index(dg.Failure.__name__)].message.strip())
    return Unclear(error.to_string())


_CALLS: Final[Mapping[Step, Callable[[str], tuple[dg.AssetsDefinition, dg.Config]]]] = {
    "reopen": lambda _: (_partitions(), PartitionsConfig(reopen_archived_months=True)),
    "move": lambda _: (archived_content_segments, DryRunOff()),
    "archive": lambda _: (content_archive, DryRunOff()),
    "purge": lambda _: (purged_content_segments, DryRunOn(dry_run=False)),
    "thaw": lambda _: (thawed_content_segments, ThawConfig()),
    "thaw a family": lambda family: (thawed_content_segments, ThawConfig(family_id=family)),
    "cancel": lambda _: (thawed_content_segments, ThawConfig(cancel=True)),
    "refreeze": lambda _: (refrozen_content_segments, DryRunOn(dry_run=False)),
    "erase": lambda _: (erased_archive_content, EraseConfig(dry_run=False)),
    "collect": lambda _: (superseded_archive_content, DryRunOn(dry_run=False)),
}


def _partitions() -> dg.AssetsDefinition:
    key = dg.AssetKey("content_segments_partitions")
    [found] = [asset for asset in partition_assets if asset.key == key]
    return found


def _context(
    asset: dg.AssetsDefinition, month: Month | None, said: Callable[[str], None]
) -> SimpleNamespace:
    """What an asset's function asks of its context, without an instance."""

    def log(line: str, *arguments: object) -> None:
        said(line % arguments if arguments else line)

    def ignore(*_: object, **__: object) -> None:
        """Nobody reads it."""

    return SimpleNamespace(
        partition_key=month.key if month else None,
        partition_keys=[month.key] if month else [],
        has_partition_key=month is not None,
        asset_key=asset.key,
        run=SimpleNamespace(run_id="model", tags={}),
        run_id="model",
        log=SimpleNamespace(info=log, warning=log, error=log, debug=log),
        log_event=ignore,
        add_asset_metadata=ignore,
        add_output_metadata=ignore,
    )


logging.getLogger("dagster").setLevel(logging.CRITICAL)

SETTINGS: Final[Mapping[str, str]] = {
    "FT_RETENTION_YEARS": "1",
    "FT_PURGE_ENABLED": "true",
    "FT_PURGE_GRACE_DAYS": "0",
    "FT_ARCHIVE_STORAGE_CLASS": "DEEP_ARCHIVE",
    "FT_ARCHIVE_SHARE_BESIDE_OTHERS": "1",
    "FT_THAW_DAYS": "14",
}
"""What a life begins with, and ends with."""
