"""The services of a plain host, by their own unit files."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ft_ops.settings import Settings
from tests.production.policies import REPOSITORY
from tests.production.services import entries

SYSTEMD = REPOSITORY / "deploy" / "systemd"
UNITS = sorted(SYSTEMD.glob("*.service"))
CODE = SYSTEMD / "ft-ops-code.service"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the files were installed, instead of /, by an administrator whose files are private."""
    (tmp_path / "opt/ft-ops/venv/bin").mkdir(parents=True, mode=0o700)
    for made in (tmp_path / "opt/ft-ops/venv", tmp_path / "opt/ft-ops"):
        made.chmod(0o700)
    subprocess.run([SYSTEMD / "install", str(tmp_path)], check=True, umask=0o077)
    return tmp_path


def test_the_services_user_reads_everything_but_the_secrets(root: Path) -> None:
    """systemd reads those for it, as root."""
    closed = {
        path.relative_to(root)
        for folder in ("etc/ft-ops", "opt/ft-ops", "var/lib/ft-ops", "usr/local/bin/ft-ops")
        for path in (root / folder, *(root / folder).rglob("*"))
        if not path.stat().st_mode & 0o004
    }
    secrets = root / "etc/ft-ops/secrets"
    assert closed == {path.relative_to(root) for path in (secrets, *secrets.iterdir())}


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Programs that tell their arguments and their environment."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("ft-ops", "dagster", "dagster-daemon"):
        (folder / name).write_text(
            f"#!{sys.executable}\nimport json, os, sys\n"
            "print(json.dumps([sys.argv[1:], dict(os.environ)]))\n"
        )
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_service_starts_its_program_with_its_secrets(
    unit: Path, root: Path, programs: Path
) -> None:
    credentials = root / "credentials"
    credentials.mkdir()
    for entry in entries(unit, "LoadCredential"):
        name, _, source = entry.partition(":")
        assert (root / source.lstrip("/")).exists(), "the installation makes it"
        (credentials / name).write_text(f"secret of {name}")
    (command,) = entries(unit, "ExecStart")
    program, *arguments = shlex.split(command)
    environment = dict(entry.split("=", 1) for entry in entries(unit, "Environment"))
    environment |= {"SECRETS_DIR": str(credentials), "PROGRAMS_DIR": str(programs)}
    shown = subprocess.run(
        [str(root / program.lstrip("/")), *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        check=True,
        text=True,
    )
    given, found = json.loads(shown.stdout)
    assert given == arguments
    assert found["FT_DAGSTER_DATABASE_URL"] == "secret of ft_dagster_database_url"
    assert ("FT_DATABASE_URL" in found) == (unit == CODE)
    assert found["DAGSTER_HOME"] == "/var/lib/ft-ops"
    for argument in arguments:
        if argument.startswith("/"):
            assert (root / argument.lstrip("/")).exists(), argument


def test_the_services_find_the_code_server() -> None:
    (location,) = yaml.safe_load((SYSTEMD / "workspace.yaml").read_text())["load_from"]
    (command,) = entries(CODE, "ExecStart")
    assert f"--host {location['grpc_server']['host']} " in command
    assert f"--port {location['grpc_server']['port']} " in command


def test_every_secret_setting_has_a_file_that_the_code_server_gets() -> None:
    secret = {
        f"ft_{name}"
        for name, described in Settings.model_fields.items()
        if "SecretStr" in str(described.annotation)
    }
    keys = {"aws_access_key_id", "aws_secret_access_key"}
    loaded = [entry.partition(":")[0] for entry in entries(CODE, "LoadCredential")]
    assert set(loaded) == secret | keys
    assert len(loaded) == len(set(loaded))


def test_settings_are_read_as_systemd_reads_them_and_not_as_a_script(
    root: Path, programs: Path
) -> None:
    lines = {
        "FT_ALERT_EMAIL_TO": "a@example.org, b@example.org",
        "FT_ARCHIVE_PREFIX": "$HOME/`id` $(id)",
        "FT_BACKUP_PREFIX": '"in quotes"',
        "FT_BACKUP_SERVER": "'in single ones'",
        "AWS_REGION": "it's here",
    }
    path = root / "etc/ft-ops/ft-ops.env"
    path.write_text("# a comment\n\n" + "".join(f"{n}={v}\n" for n, v in lines.items()))
    shown = started(root, programs)
    _, found = json.loads(shown.stdout)
    wanted = {**lines, "FT_BACKUP_PREFIX": "in quotes", "FT_BACKUP_SERVER": "in single ones"}
    assert {name: found[name] for name in lines} == wanted


@pytest.mark.parametrize("line", ["FT_ARCHIVE_BUCKET", "export FT_ARCHIVE_BUCKET=x", "=x", "2X=y"])
def test_a_line_that_is_no_setting_is_told_by_its_number(
    root: Path, programs: Path, line: str
) -> None:
    (root / "etc/ft-ops/ft-ops.env").write_text(f"# first\n{line}\n")
    shown = started(root, programs)
    assert shown.returncode == 1
    assert f"{root}/etc/ft-ops/ft-ops.env, line 2: " in shown.stderr
    assert shown.stderr.count("\n") == 1
    assert "Next: " in shown.stderr


def started(root: Path, programs: Path) -> subprocess.CompletedProcess[str]:
    """The command as it was installed below ``root``, before programs that tell what they got."""
    return subprocess.run(
        [str(root / "usr/local/bin/ft-ops"), "doctor"],
        env={
            "PATH": os.environ["PATH"],
            "FT_OPS_ROOT": str(root),
            "PROGRAMS_DIR": str(programs),
        },
        capture_output=True,
        check=False,
        text=True,
    )


def test_the_command_has_the_settings_and_the_secrets_of_the_services(
    root: Path, programs: Path
) -> None:
    (root / "etc/ft-ops/ft-ops.env").write_text("FT_ARCHIVE_BUCKET=mine\n#FT_BACKUP_BUCKET=no\n")
    (root / "etc/ft-ops/secrets/ft_database_url").write_text("postgresql://x\n")
    given, found = json.loads(started(root, programs).stdout)
    assert given == ["doctor"]
    assert (found["FT_ARCHIVE_BUCKET"], found["FT_DATABASE_URL"]) == ("mine", "postgresql://x")
    assert "FT_BACKUP_BUCKET" not in found


def test_a_second_installation_keeps_what_was_set(root: Path) -> None:
    for name in ("ft-ops.env", "secrets/ft_database_url"):
        (root / "etc/ft-ops" / name).write_text("mine")
    subprocess.run([SYSTEMD / "install", str(root)], check=True)
    for name in ("ft-ops.env", "secrets/ft_database_url"):
        assert (root / "etc/ft-ops" / name).read_text() == "mine"
    assert (root / "etc/ft-ops/secrets").stat().st_mode & 0o777 == 0o700
    assert (root / "etc/ft-ops/secrets/ft_dagster_database_url").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_understands_every_line(root: Path) -> None:
    assert complaints(root, UNITS) == []
    wrong = root / "etc/systemd/system/ft-ops-wrong.service"
    wrong.write_text(CODE.read_text().replace("NoNewPrivileges=", "NoNewPrivilege="))
    assert "NoNewPrivilege" in "".join(complaints(root, [wrong]))


def complaints(root: Path, units: list[Path]) -> list[str]:
    """What systemd says of single lines; not that the rest of a system is missing here."""
    done = subprocess.run(
        [
            *("systemd-analyze", "verify", f"--root={root}"),
            *(f"/etc/systemd/system/{unit.name}" for unit in units),
        ],
        capture_output=True,
        check=False,
        text=True,
    )
    return [line for line in done.stderr.splitlines() if re.search(r"\.service:\d+:", line)]
