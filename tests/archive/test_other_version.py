"""An archive outlives its server: made on 16, it comes back on 18, and is proven by none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from ft_ops.archive.keep.adopt import adopt
from ft_ops.archive.month.generation import Generation
from ft_ops.archive.recorded.ship import ship_records
from ft_ops.archive.store import verify_archive
from ft_ops.pg.connect import connect
from ft_ops.pg.sqlfiles import sql_root
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.glacier import request_restore
from ft_ops.s3.objects import download
from ft_ops.schema import load_migrations, run_migrations
from tests.archive.test_adopt import copy_people
from tests.archive.world import MONTH, World
from tests.fixtures.postgres import Database
from tests.production.test_versions import running

ODD_SETTINGS = {
    "timezone": "Asia/Kathmandu",
    "datestyle": "SQL, DMY",
    "intervalstyle": "sql_standard",
    "extra_float_digits": "-3",
    "bytea_output": "escape",
    "default_text_search_config": "simple",
}


@contextmanager
def on_18(world: World) -> Iterator[World]:
    """The same bucket beside a new database on 18, with another locale and odd text settings."""
    with running(18) as url:
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(
                "CREATE DATABASE familytales ENCODING 'UTF8' TEMPLATE template0"
                " LOCALE 'C' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"
            )
            for name, value in ODD_SETTINGS.items():
                admin.execute(
                    sql.SQL("ALTER DATABASE familytales SET {} = {}").format(
                        sql.Identifier(name), sql.Literal(value)
                    )
                )
        database = Database("familytales", url)
        with psycopg.connect(database.admin_url, autocommit=True) as admin:
            admin.execute((sql_root() / "roles" / "bootstrap.sql").read_bytes())
        with connect(database.url, application="tests") as connection:
            run_migrations(connection, load_migrations())
            copy_people(world.connection, connection)
            yield replace(world, database=database, connection=connection)


def test_a_month_of_16_comes_back_equal_on_18_by_either_digest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the server's own, and by that of the values where 18 would write a row otherwise."""
    world.fill(segments=24)
    world.archived_and_purged()
    ship_records(world.run)
    assert world.connection.info.server_version // 10000 == 16
    with on_18(world) as new:
        assert new.connection.info.server_version // 10000 == 18
        adopt(new.run, apply=True).refuse_problems()
        with monkeypatch.context() as patch:
            # As if every text were another: the values alone have to prove it.
            patch.setattr("ft_ops.archive.thaw.merge.differences", lambda one, other: ["text"])
            new.thaw()
        found = new.rows()
        assert sum(map(len, found.values())) > 40
        # Where it was made, the same digest decides alone.
        assert world.rows_when_thawed() == found


def unpacked(bucket: Bucket, generation: Generation, folder: Path) -> Path:
    """A generation's objects and its manifest as a copy of the bucket has them; the manifest."""
    for stored in (*(item.stored for item in generation.objects), generation.require_manifest()):
        request_restore(bucket, stored, days=1, tier="Bulk")
        path = folder / stored.key
        path.parent.mkdir(parents=True, exist_ok=True)
        download(bucket, stored, path)
    return folder / generation.require_manifest().key


def test_the_program_alone_proves_it_without_any_server(world: World, tmp_path: Path) -> None:
    world.fill(segments=24)
    generation = world.archive()
    manifest = unpacked(world.bucket, generation, tmp_path)

    def verify() -> subprocess.CompletedProcess[str]:
        # In a process of its own that finds no package of ours.
        return subprocess.run(
            [sys.executable, verify_archive.__file__, str(manifest), str(tmp_path)],
            cwd=tmp_path,
            env={"TZ": "Asia/Kathmandu", "LC_ALL": "C"},
            check=False,
            capture_output=True,
            text=True,
        )

    done = verify()
    assert (done.returncode, done.stdout) == (0, f"{MONTH} generation 1 is what was proven\n")
    part = tmp_path / generation.parts()[0].stored.key
    body = bytearray(part.read_bytes())
    body[len(body) // 2] ^= 1
    part.write_bytes(body)
    done = verify()
    assert done.returncode == 1
    assert generation.parts()[0].stored.key in done.stdout
