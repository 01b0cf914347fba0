"""What the pages tell people to type was typed: their shell blocks run in a sandbox.

An info string with ``no-test`` marks those that need the world outside, or long.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ft_ops.backups.drill.drill import run_drill
from ft_ops.backups.drill.plan import newest_plan
from ft_ops.backups.inventory.ledger import entries
from ft_ops.pg.connect import Connection, connect
from ft_ops.s3.bucket import open_bucket
from ft_ops.sandbox import Sandbox, sandbox
from ft_ops.schema import load_migrations, run_migrations
from tests.backups.world import open_world
from tests.documents import DOCS, PAGES, Block, blocks
from tests.fixtures.quick_programs import forks_of

RECOVERY = DOCS / "disaster-recovery.md"


def shell(block: Block) -> str:
    """What a block has to type; nothing for one that is no shell's, or not to be tested."""
    match block.info:
        case "sh":
            return block.text
        case "console":
            lines = (line for line in block.text.splitlines() if line.startswith("$ "))
            return "\n".join(line.removeprefix("$ ") for line in lines)
    return ""


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with sandbox(announce=lambda line: None) as opened:
        with connect(opened.database_url, application="tests") as connection:
            run_migrations(connection, load_migrations())
        yield opened


@pytest.fixture(scope="module")
def typed() -> Iterator[Path]:
    """A folder that has `ft-ops`, which each line begins anew: its imports take a second."""
    with forks_of(["ft-ops"], "ft_ops.definitions", "ft_ops.cli", "boto3") as folder:
        yield folder


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page != RECOVERY and any(map(shell, blocks(page)))],
    ids=lambda page: page.name,
)
def test_the_shell_blocks_of_a_page_run(
    page: Path, box: Sandbox, typed: Path, tmp_path: Path
) -> None:
    run(page, box, tmp_path, typed)


@pytest.mark.chaos
@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("runuser"), reason="runuser is missing")
def test_a_stranger_restores_the_database_from_the_bucket_alone(
    box: Sandbox, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in box.environment().items():
        monkeypatch.setenv(name, value)
    with connect(box.database_url, application="tests") as connection:
        world = open_world(connection, box.database_url, open_bucket(box.backup_bucket))
        world.full()
        world.write()
        proven = run_drill(
            connection,
            world.provider,
            world.bucket,
            newest_plan(entries(connection)),
            now=datetime.now(UTC),
            run_id="tests",
            log=lambda line: None,
        )
        world.full()  # nobody drilled it, so it is not what a stranger should begin with
        late = world.increment().point.name
        client = world.bucket.client
        for number in range(1001):  # a listing has a thousand
            client.put_object(
                Bucket=world.bucket.name,
                Key=f"points/full-20000101t{number:06}000z.json",
                Body=b"{}",
            )
        client.put_object(Bucket=world.bucket.name, Key="points/dump-99990101t000000000z.json")
        for made_by_a_console in ("points/", "certificates/", "barman/familytales/wals/"):
            client.put_object(Bucket=world.bucket.name, Key=made_by_a_console)
    folder = box.root / "recovery"
    said = run(RECOVERY, box, tmp_path_factory.mktemp("page"), WORK=str(folder))
    assert "tables are equal" in said
    identifier = proven.source.words.split("/base/")[1].split("/")[0]
    assert f"backup {identifier} to {late}" in said
    # The recovered ledger ends before its own point, and finds that again in the bucket.
    assert said.count(late) > 2


@pytest.mark.parametrize(
    "block",
    [
        b
        for name in ("runbook.md", "archive.md", "first-day.md")
        for b in blocks(DOCS / name)
        if b.info == "sql"
    ],
    ids=str,
)
def test_the_queries_of_a_page_run(block: Block, connection: Connection) -> None:
    connection.execute(block.text.encode())


def run(page: Path, box: Sandbox, folder: Path, *first: Path, **settings: str) -> str:
    """Run the blocks of a page as one script, with programs of ``first``; what it said."""
    beside = Path(sys.executable).parent
    script = "\n".join(filter(None, map(shell, blocks(page))))
    environment: Mapping[str, str] = {
        **box.child_environment(os.environ),
        "PATH": ":".join(map(str, [*first, beside, box.bin_dir, os.environ["PATH"]])),
        "SERVER_USER": "nobody",
        **settings,
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
