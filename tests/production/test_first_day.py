"""The page on the first day, walked from nothing: its commands typed, its services started.

What a test can't have is taken by stand-ins: accounts of the machine, packages of an index, a
supervisor. Everything else is what the page says, with passwords and places filled in.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.parse import quote

import boto3
import psycopg
import pytest
import yaml

from ft_ops.clock import utc_now
from ft_ops.months import Month
from ft_ops.pg import server as pg
from ft_ops.s3.bucket import open_bucket
from tests.documents import DOCS, Block, section
from tests.production.policies import REPOSITORY
from tests.production.services import (
    Compose,
    Ports,
    Service,
    Ui,
    by_systemd,
    environment_entries,
    outside_environment,
    running,
)
from tests.production.test_bucket import protect

PAGE = DOCS / "first-day.md"
PLACES = ("/opt/ft-ops", "/etc/ft-ops", "/var/lib/ft-ops", "/var/lib/ft-wal")
"""Where the page puts things, each below the walk's own folder here."""
OUTSIDE = ("useradd", "usermod", "chown", "chmod", "install", "python3", "/opt/ft-ops/venv/bin/pip")
"""Programs by which the page changes the machine: its accounts, its packages."""
PASSWORDS = {name: f"{name} p@ss/w:rd%" for name in ("OPS", "DAGSTER", "APP", "READONLY")}
NOBODY_ARCHIVES_THE_LOG = "failed   backup provider: barman: the server's archive_mode is off"
LEADS_OUTSIDE = "http://127.0.0.1:9"
"""A proxy by which nothing of this machine can be reached: no service may ask it for another."""
NEVER_RESTORED = "failed   verified backup: no backup was ever restored and verified"
OLDEST = Month.parse("2017-03")


@dataclass(frozen=True, slots=True)
class Walk:
    """A machine below a folder, with a new server; ``type`` types there what the page shows."""

    root: Path
    server: pg.Server

    @property
    def host(self) -> str:
        """The server, as a URL names it."""
        return quote(str(self.server.socket_dir))

    @property
    def administrator(self) -> str:
        """The server, as psql names it."""
        return self.server.url()

    def type(self, text: str, *, fails: bool = False, **environment: str) -> str:
        """Run commands in a shell of the checkout; what they said."""
        for place in PLACES:
            text = text.replace(place, f"{self.root}{place}")
        programs = [self.root / "usr/local/bin", self.server.bin_dir]
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=REPOSITORY,
            env={
                **outside_environment(),
                "PATH": ":".join([*map(str, programs), os.environ["PATH"]]),
                "FT_OPS_ROOT": str(self.root),
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            text=True,
        )
        assert (done.returncode != 0) == fails, done.stdout
        return done.stdout

    def ill(self) -> list[str]:
        """What the doctor calls failed or unknown."""
        said = self.type("ft-ops doctor || echo it failed")
        found = [li for li in said.splitlines() if li.startswith(("failed", "unknown"))]
        assert ("it failed" in said) == bool(found), said
        return found


@pytest.fixture
def walk(place: Path, aws: str) -> Iterator[Walk]:
    """A server that archives its log as the page on operations says, and nothing on it."""
    bin_dir = pg.reachable_binaries(pg.embedded_binaries(), place / "postgres")
    server = pg.Server(bin_dir, place / "data", place / "run")
    pg.initialise(server)
    spool = place / "var/lib/ft-wal"
    spool.mkdir(parents=True)
    pg.hand_over(spool)
    _, copying = section(DOCS / "operations.md", "Write-ahead log")
    with (server.data_dir / "postgresql.conf").open("a") as file:
        file.write(copying.text.replace("/var/lib/ft-wal", str(spool)))
    # Whoever administers it comes by another way than those with passwords.
    (server.data_dir / "pg_hba.conf").write_text(
        "local all postgres trust\nlocal all all scram-sha-256\n"
    )
    with pg.running(server, stop_mode="immediate"):
        yield Walk(place, server)


def test_the_pages_have_the_blocks_that_the_walk_takes() -> None:
    """The walk itself takes minutes: a page that was changed without it is noticed at once."""
    found = {
        title: [block.info.split()[0] for block in section(page, title)]
        for page, title in (
            (PAGE, "Databases and roles"),
            (PAGE, "Settings"),
            (PAGE, "On a plain host"),
            (PAGE, "The schema"),
            (PAGE, "A backup that was restored"),
            (PAGE, "The first archived month"),
            (DOCS / "operations.md", "Write-ahead log"),
        )
    }
    assert found == {
        "Databases and roles": ["sh", "sh"],
        "Settings": ["ini", "ini"],
        "On a plain host": ["sh", "sh", "sh"],
        "The schema": ["sh"],
        "A backup that was restored": ["sh"],
        "The first archived month": ["yaml", "sql"],
        "Write-ahead log": ["ini", "ini"],
    }


@pytest.mark.chaos
@pytest.mark.timeout(2400)
def test_a_plain_host_from_nothing_to_the_first_archived_month(
    walk: Walk, tmp_path: Path, worker_id: str
) -> None:
    make_databases(walk)
    buckets = make_buckets(worker_id)
    install(walk, the_settings(walk, buckets))
    ports = Ports()
    with running(units(walk, ports), tmp_path):
        assert any("ft-ops migrate run" in line for line in walk.ill())
        for block in section(PAGE, "The schema"):
            walk.type(block.text)
        # "By now only the verified backup is missing."
        await_ill(walk.ill, NEVER_RESTORED)
        ui = Ui(int(ports.free("3000")))
        restore_a_backup(walk, ui)
        archive_a_month(walk, ui, buckets["FT_ARCHIVE_BUCKET"])


def restore_a_backup(walk: Walk, ui: Ui) -> None:
    """The page's first backup and its drill; then its block, whose doctor finds nothing."""
    for job in ("take_full_backup", "drill_restore"):
        assert ui.launch(job) == "SUCCESS"
    await_ill(walk.ill)
    (block,) = section(PAGE, "A backup that was restored")
    said = walk.type(dedent(block.text))
    assert re.search(r"^full-\S+ .* verified$", said, re.MULTILINE), said


def archive_a_month(walk: Walk, ui: Ui, bucket: str) -> None:
    """Content that somebody brings along; the dry run of the page, and the month itself."""
    months = {
        "asset_partition_range_start": OLDEST.key,
        "asset_partition_range_end": Month.of(utc_now()).key,
    }
    assert ui.launch("create_partitions", None, **months) == "SUCCESS"
    age = next(n for n in range(1200) if OLDEST.plus(n) == Month.of(utc_now())) + 1
    walk.type(f"ft-ops sample --families 1 --months {age} --segments 2")
    config, query = section(PAGE, "The first archived month")
    dry = yaml.safe_load(config.text)
    before = states(walk, dedent(query.text))
    assert ui.launch("archive_old_content", dry, partition=OLDEST.key) == "SUCCESS"
    assert states(walk, dedent(query.text)) == before
    assert OLDEST.first_day not in before
    assert ui.launch("archive_old_content", partition=OLDEST.key) == "SUCCESS"
    assert states(walk, dedent(query.text))[OLDEST.first_day] == "frozen"
    keys = [found["Key"] for found in boto3.client("s3").list_objects_v2(Bucket=bucket)["Contents"]]
    assert any(key.endswith("manifest.json") for key in keys)


def states(walk: Walk, query: str) -> dict[object, object]:
    """What the page's query says of each month."""
    with psycopg.connect(walk.server.url("familytales")) as connection:
        return dict(connection.execute(query.encode()).fetchall())


def make_databases(walk: Walk) -> None:
    """The administrator's commands, with passwords that a URL must quote."""
    made, named = section(PAGE, "Databases and roles")
    text = made.text
    for name, password in PASSWORDS.items():
        text = text.replace(f"{name}_PASSWORD=…", f"{name}_PASSWORD='{password}'")
    assert "…" not in text
    for _ in range(2):  # "It is safe to run again."
        walk.type(text, ADMIN_URL=walk.administrator)
    walk.type(named.text, ADMIN_URL=walk.administrator)


def make_buckets(worker_id: str) -> dict[str, str]:
    """Two buckets as CloudFormation makes them; the settings that name them."""
    made = {}
    for room, lock in (("archive", True), ("backup", False)):
        name = f"first-day-{room}-{worker_id}"
        client = boto3.client("s3")
        client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=lock)
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        protect(open_bucket(name))
        made[f"FT_{room.upper()}_BUCKET"] = name
    return made


def the_settings(walk: Walk, buckets: Mapping[str, str]) -> dict[str, str]:
    """What the page sets, on a server of one's own, and what leads boto3 to the local S3."""
    shown, _ = (b.text for b in section(PAGE, "Settings") if b.info == "ini")
    chosen = dict(line.split("=", 1) for line in shown.splitlines())
    assert chosen.pop("FT_RDS_INSTANCE")
    assert buckets.keys() <= chosen.keys()
    assert chosen["FT_FIRST_MONTH"] == str(OLDEST)
    chosen |= buckets
    chosen["FT_BACKUP_PROVIDER"] = "barman"
    chosen["FT_WAL_SPOOL"] = f"{walk.root}/var/lib/ft-wal"
    chosen["FT_WEB_HOSTS"] = "127.0.0.1, dagster.example.com"
    outside = {name: os.environ[name] for name in ("AWS_ENDPOINT_URL", "AWS_REGION", "NO_PROXY")}
    return chosen | outside | {"https_proxy": LEADS_OUTSIDE}


def connection_strings(walk: Walk) -> dict[str, str]:
    """Those of the page, with the passwords quoted as it says."""
    _, shown = (b.text for b in section(PAGE, "Settings") if b.info == "ini")
    found = dict(line.split("=", 1) for line in shown.splitlines())
    for name, role in (("FT_DATABASE_URL", "OPS"), ("FT_DAGSTER_DATABASE_URL", "DAGSTER")):
        password = PASSWORDS[role]
        for character, code in {"%": "%25", "@": "%40", "/": "%2F", ":": "%3A"}.items():
            password = password.replace(character, code)
        text = found[name].replace("PASSWORD", password.replace(" ", "%20"))
        # A socket has no place before the database's name in Dagster's URLs.
        found[name] = re.sub(r"@HOST:5432/(\w+)", rf"@/\1?host={walk.host}&port=5432", text)
    return found


def install(walk: Walk, settings: Mapping[str, str]) -> None:
    """As root in the checkout; an index and accounts are stood in for by what is here already."""
    blocks = shell(section(PAGE, "On a plain host"))
    commands = "".join(block.text for block in blocks[:2]).replace("\\\n", "")
    typed = [one for one in commands.splitlines() if one.split()[0] not in OUTSIDE]
    assert typed == ["deploy/systemd/install"]
    walk.type(f"deploy/systemd/install {walk.root}")
    programs = walk.root / "opt/ft-ops/venv"
    programs.mkdir()
    (programs / "bin").symlink_to(Path(sys.executable).parent)
    secrets = walk.root / "etc/ft-ops/secrets"
    for name, value in connection_strings(walk).items():
        (secrets / name.lower()).write_text(f"{value}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        (secrets / name.lower()).write_text("tests")
    with (walk.root / "etc/ft-ops/ft-ops.env").open("a") as file:
        file.writelines(f"{name}={value}\n" for name, value in settings.items())


def shell(blocks: list[Block]) -> list[Block]:
    return [block for block in blocks if block.info.startswith("sh")]


def settings_of(walk: Walk) -> dict[str, str]:
    return environment_entries(walk.root / "etc/ft-ops/ft-ops.env")


def units(walk: Walk, ports: Ports) -> list[Service]:
    """What `systemctl enable --now` of the page names, in its order, with how to ask them."""
    *_, last = shell(section(PAGE, "On a plain host"))
    (enabled,) = re.findall(r"^systemctl enable --now (.+)$", last.text, re.MULTILINE)
    workspace = walk.root / "etc/ft-ops/workspace.yaml"
    workspace.write_text(ports.in_text(workspace.read_text()))
    health = {
        "ft-ops-code": ["dagster", "api", "grpc-health-check", "--port", "4000"],
        "ft-ops-daemon": ["dagster-daemon", "liveness-check"],
        "ft-ops-web": [
            *("python", "-c"),
            f"import urllib.request as u; u.urlopen('http://127.0.0.1:{ports.free('3000')}/server_info')",
        ],
    }
    folder = walk.root / "etc/systemd/system"
    return [
        by_systemd(walk.root, folder / f"{name}.service", ports, health[name])
        for name in enabled.split()
    ]


def await_ill(ask: Callable[[], list[str]], *wanted: str) -> None:
    """Wait until the doctor calls just that ill: the daemon needs some minutes, as it says."""
    deadline = time.monotonic() + 900
    while (found := [line.partition(";")[0] for line in ask()]) != list(wanted):
        assert time.monotonic() < deadline, found
        time.sleep(2)


@pytest.fixture
def compose(place: Path, aws: str, worker_id: str) -> Iterator[Compose]:
    """compose.yaml with its files in their places, and its database, which the script has made."""
    secrets = place / "secrets"
    subprocess.run([str(REPOSITORY / "deploy/compose/secrets"), str(secrets)], check=True)
    bin_dir = pg.reachable_binaries(pg.embedded_binaries(), place / "postgres")
    server = pg.Server(bin_dir, place / "data", place / "run")
    pg.initialise(server)
    with pg.running(server, stop_mode="immediate"):
        script = (REPOSITORY / "deploy/compose/databases.sh").read_text()
        script = script.replace("/run/secrets/", f"{secrets}/")
        subprocess.run(
            ["bash", "-c", script.replace("/sql/", f"{REPOSITORY}/sql/")],
            env={
                "PATH": f"{bin_dir}:{os.environ['PATH']}",
                "PGHOST": str(server.socket_dir),
                "POSTGRES_USER": "postgres",
            },
            check=True,
        )
        (server.data_dir / "pg_hba.conf").write_text("local all all scram-sha-256\n")
        # What is postgres:5432 in compose's network.
        socket = quote(str(server.socket_dir))
        for name in ("ft_database_url", "ft_dagster_database_url"):
            url, _, options = (secrets / name).read_text().partition("?")
            here = re.sub(r"@postgres:5432/(\w+)", rf"@/\1?host={socket}&port=5432", url)
            (secrets / name).write_text(f"{here}&{options}".rstrip("&"))
        for name in ("aws_access_key_id", "aws_secret_access_key"):
            (secrets / name).write_text("tests")
        yield Compose(place, composed(), secrets, settings_file(place, worker_id), image(place))


def composed() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())
    return loaded


def settings_file(place: Path, worker_id: str) -> Path:
    """A copy of the example, as the page says, with the buckets set in it."""
    copied = Path(shutil.copy(REPOSITORY / "deploy/ft-ops.env.example", place / "ft-ops.env"))
    settings = {
        **make_buckets(worker_id),
        "FT_BACKUP_PROVIDER": "barman",
        "FT_FIRST_MONTH": str(OLDEST),
        **{name: os.environ[name] for name in ("AWS_ENDPOINT_URL", "NO_PROXY")},
        "http_proxy": LEADS_OUTSIDE,
        "https_proxy": LEADS_OUTSIDE,
    }
    with copied.open("a") as file:
        file.writelines(f"{name}={value}\n" for name, value in settings.items())
    return copied


def image(place: Path) -> Ports:
    """What deploy/Dockerfile puts where, and the workspace that compose mounts."""
    shims = place / "opt/ft-ops/bin"
    shims.mkdir(parents=True)
    (place / "usr/local/bin").mkdir(parents=True)
    shutil.copy(REPOSITORY / "deploy/with-secrets", place / "usr/local/bin")
    text = (REPOSITORY / "deploy/Dockerfile").read_text()
    (linked,) = re.findall(r"for name in (.+); do", text)
    for name in linked.split():
        (shims / name).symlink_to(place / "usr/local/bin/with-secrets")
    (place / "opt/dagster").mkdir()
    shutil.copy(REPOSITORY / "dagster.yaml", place / "opt/dagster")
    (place / "etc/dagster").mkdir(parents=True)
    ports = Ports()
    workspace = (REPOSITORY / "deploy/compose/workspace.yaml").read_text()
    placed = ports.in_text(workspace.replace("host: code", "host: 127.0.0.1"))
    (place / "etc/dagster/workspace.yaml").write_text(placed)
    return ports


@pytest.mark.chaos
@pytest.mark.timeout(2400)
def test_compose_by_its_parts(compose: Compose, tmp_path: Path) -> None:
    """Its commands, secrets and health checks, with processes in the place of containers."""
    order = compose.in_order()
    assert order[0] == "code"
    assert set(order) == {"code", "webserver", "daemon"}
    with running([compose.service(name) for name in order], tmp_path):
        assert Ui(int(compose.ports.free("3000"))).launch("initial_schema") == "SUCCESS"
        # "It takes no backups", as the page says; everything else is well.
        await_ill(lambda: ill_in(compose), NOBODY_ARCHIVES_THE_LOG, NEVER_RESTORED)


def ill_in(compose: Compose) -> list[str]:
    """What `docker compose exec code ft-ops doctor` calls failed or unknown."""
    said = subprocess.run(
        [f"{compose.root}/opt/ft-ops/bin/ft-ops", "doctor"],
        env=compose.environment("code"),
        cwd=compose.root,
        capture_output=True,
        check=False,
        text=True,
    )
    found = [li for li in said.stdout.splitlines() if li.startswith(("failed", "unknown"))]
    assert said.returncode == bool(found), said.stdout + said.stderr
    return found
