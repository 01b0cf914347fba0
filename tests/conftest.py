"""Fixtures: one PostgreSQL server and one S3 endpoint a session, a cloned database a test."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Generator
from importlib import import_module
from pathlib import Path

import pytest

from ft_ops.sandbox import use_memory
from tests.quick import needs_a_server

SLOW_TO_MAKE = (
    "box",
    "original",
    "sampled",
    "session_chaos",
    "begins_linked",
    "begins_parted",
    "begins_copied",
    "begins_with_frozen_log",
    "begins_with_purged_log",
)
"""Fixtures that a whole room shares: each worker that meets one of its tests makes its own."""

VARIABLES = pytest.StashKey[dict[str, str]]()
"""The environment when the tests began."""

BEGAN = pytest.StashKey[float]()
"""When this process's tests began, by the monotonic clock."""

_ITS_OWN = "PYTEST_CURRENT_TEST"

pytest_plugins = [
    "tests.fixtures.commands",
    "tests.fixtures.http",
    "tests.fixtures.mail",
    "tests.fixtures.internet",
    "tests.fixtures.collector",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--needing-a-server",
        action="store_true",
        help="only tests that use the server of FT_TEST_DATABASE_URL: for a second run on another",
    )
    parser.addoption(
        "--quick",
        action="store_true",
        help="only the files whose tests need no server",
    )
    parser.addoption(
        "--no-test-after",
        type=float,
        metavar="SECONDS",
        help="skip what would begin later, on a machine that is too slow for all of them",
    )
    parser.addoption(
        "--every-point",
        action="store_true",
        help="faults at every point of every step, which takes hours; else at some of them",
    )


def pytest_configure(config: pytest.Config) -> None:
    use_memory()
    config.stash[VARIABLES] = dict(os.environ)
    if not config.getoption("--quick"):
        for module in ("tests.fixtures.postgres", "tests.fixtures.s3", "tests.fixtures.dagster"):
            # A room's conftest may have imported it already.
            config.pluginmanager.register(import_module(module), module)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if not config.getoption("--quick"):
        return None
    if collection_path.is_dir():
        # Not even its conftest is imported where nothing is left.
        return all(map(needs_a_server, collection_path.rglob("test_*.py"))) or None
    return (collection_path.name.startswith("test_") and needs_a_server(collection_path)) or None


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[BEGAN] = time.monotonic()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    limit = item.config.getoption("--no-test-after")
    if limit is not None and time.monotonic() - item.config.stash[BEGAN] > limit:
        pytest.skip(f"no test begins after {limit:.0f} s")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _keep_together(items)
    if config.getoption("--quick"):
        # A file that is named on the command line is collected, whatever is ignored.
        _keep(config, items, lambda item: not needs_a_server(item.path))
    if config.getoption("--needing-a-server"):
        _keep(config, items, lambda item: "server" in getattr(item, "fixturenames", ()))


def _keep(
    config: pytest.Config, items: list[pytest.Item], wanted: Callable[[pytest.Item], bool]
) -> None:
    config.hook.pytest_deselected(items=[item for item in items if not wanted(item)])
    items[:] = filter(wanted, items)


def pytest_collection_finish() -> None:
    """What is imported and collected stays: no collection of garbage looks through it again."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """So that all of it ends as it otherwise would: some extensions complain of what is left."""
    gc.unfreeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, None, None]:
    """A room that leaves a variable behind fails: the next one's tests would read it."""
    yield
    if nextitem is None or nextitem.path.parent != item.path.parent:
        began = item.config.stash[VARIABLES]
        left = {name for name, _ in os.environ.items() ^ began.items()} - {_ITS_OWN}
        assert not left, f"the tests in {item.path.parent.name} change {sorted(left)}"


def _keep_together(items: list[pytest.Item]) -> None:
    """One worker takes all tests of a room that share what is slow to make (--dist loadgroup)."""
    for item in items:
        for name in SLOW_TO_MAKE:
            if name in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.xdist_group(f"{name}-{item.path.parent.name}"))
