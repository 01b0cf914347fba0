"""An endpoint that takes small parts, a template with a few rows, and a zygote of the steps."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from psycopg import sql

from ft_ops.sandbox import object_store
from tests.faults import report
from tests.faults.chaos import Chaos, Strike
from tests.faults.runs import zygote
from tests.faults.spread import Spread
from tests.faults.world import World, fill
from tests.fixtures.postgres import Database, created, filled


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment that points boto3 at an endpoint whose multipart uploads may be tiny."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("S3_UPLOAD_PART_MIN_SIZE", "256")
            endpoint = stack.enter_context(object_store(tmp_path_factory.mktemp("s3")))
        url = endpoint()
        yield {
            "AWS_ENDPOINT_URL": url,
            "AWS_ENDPOINT_URL_S3": url,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "tests",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }


@pytest.fixture(scope="session")
def small_world(template: Database, worker_id: str) -> Iterator[Database]:
    with filled(template, f"ft_faults_{worker_id}", fill) as database:
        yield database


@pytest.fixture(scope="session")
def session_chaos(
    small_world: Database, settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Chaos]:
    # Nobody can connect to a template.
    untouched = Database(f"{small_world.name}_untouched", small_world.server_url)
    with created(untouched, sql.Identifier(small_world.name)):
        original = World(untouched, "", {}).rows()
    temporary = tmp_path_factory.mktemp("steps")
    environment = settings | {"TMPDIR": str(temporary)}
    with zygote(["tests.faults.steps"], environment) as started, ExitStack() as stack:
        yield Chaos(started, small_world, original, temporary, stack)


@pytest.fixture
def chaos(session_chaos: Chaos, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Chaos:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return session_chaos


@pytest.fixture
def spread(request: pytest.FixtureRequest) -> Spread:
    return Spread(request.config.getoption("--every-point"), random.Random())


@pytest.fixture
def survived(worker_id: str) -> Callable[[Iterator[Strike]], None]:
    """Takes strikes, keeps each for the report, and fails if anything was wrong after one."""

    def take(strikes: Iterator[Strike]) -> None:
        problems = []
        for strike in strikes:
            report.add(strike, worker_id)
            if strike.problems:
                problems.append(str(strike))
        assert not problems, "\n".join(problems)

    return take
