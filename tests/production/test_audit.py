"""The audit without a network names what concerns a locked version, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.production.policies import REPOSITORY

LOCKED = """\
# Made by hand.
Widget_Maker==2.5.0 \\
    --hash=sha256:0123456789abcdef \\
    --hash=sha256:fedcba9876543210
gadget==1.0
"""


def advisory(
    package: str, *, versions: list[str] | None = None, events: list[dict[str, str]] | None = None
) -> dict[str, object]:
    return {
        "id": "PYSEC-2026-1",
        "aliases": ["CVE-2026-0001"],
        "modified": "2026-02-03T00:00:00Z",
        "summary": "It gives way",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": package},
                "versions": versions or [],
                "ranges": [{"type": "ECOSYSTEM", "events": events or []}],
            }
        ],
    }


def audit(folder: Path, *found: dict[str, object]) -> subprocess.CompletedProcess[str]:
    lock = folder / "requirements.lock"
    lock.write_text(LOCKED, encoding="utf-8")
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        for number, entry in enumerate(found):
            archive.writestr(f"PYSEC-{number}.json", json.dumps(entry))
    return run(folder / "all.zip", lock)


def run(*arguments: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "deploy" / "audit.py"), *map(str, arguments)],
        capture_output=True,
        check=False,
        text=True,
    )


@pytest.mark.parametrize(
    ("events", "concerned"),
    [
        ([{"introduced": "0"}, {"fixed": "2.5.1"}], True),
        ([{"introduced": "0"}, {"fixed": "2.5.0"}], False),
        ([{"introduced": "2.5"}, {"last_affected": "2.5.0"}], True),
        ([{"introduced": "0"}, {"last_affected": "2.4.9"}], False),
        ([{"introduced": "2.10"}], False),
        ([{"introduced": "0"}, {"fixed": "1.0"}, {"introduced": "2.0"}, {"fixed": "3.0"}], True),
        ([{"introduced": "0"}, {"fixed": "1.0"}, {"introduced": "2.6"}], False),
    ],
)
def test_a_range_concerns_the_versions_within_it(
    tmp_path: Path, events: list[dict[str, str]], concerned: bool
) -> None:
    done = audit(tmp_path, advisory("widget-maker", events=events))
    assert done.returncode == (1 if concerned else 0), done.stderr
    assert ("widget-maker 2.5.0: PYSEC-2026-1, CVE-2026-0001: It gives way" in done.stdout) == (
        concerned
    )


def test_a_listed_version_is_concerned_however_it_is_written(tmp_path: Path) -> None:
    assert audit(tmp_path, advisory("Widget.Maker", versions=["2.5"])).returncode == 1
    assert audit(tmp_path, advisory("Widget.Maker", versions=["2.5.1", "odd"])).returncode == 0


def test_withdrawn_advisories_and_other_ecosystems_concern_nobody(tmp_path: Path) -> None:
    withdrawn = {**advisory("gadget", versions=["1.0"]), "withdrawn": "2026-02-04T00:00:00Z"}
    of_npm = json.loads(json.dumps(advisory("gadget", versions=["1.0"])).replace("PyPI", "npm"))
    done = audit(tmp_path, withdrawn, of_npm)
    assert done.returncode == 0
    assert "2 locked versions, 0 of them" in done.stdout
    assert "the newest of 2026-02-03; 0 concern a locked version" in done.stdout


def test_no_advisories_at_all_are_no_audit(tmp_path: Path) -> None:
    done = audit(tmp_path)
    assert done.returncode == 2
    assert "holds no advisory" in done.stderr


def test_the_projects_own_locks_can_be_audited(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        entry = advisory("dagster", events=[{"introduced": "0"}, {"fixed": "999"}])
        archive.writestr("PYSEC.json", json.dumps(entry))
    locks = [REPOSITORY / "requirements.lock", REPOSITORY / "deploy" / "requirements.lock"]
    done = run(tmp_path / "all.zip", *locks)
    assert done.returncode == 1
    assert "(fixed in: 999)" in done.stdout
