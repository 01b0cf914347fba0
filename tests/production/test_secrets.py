"""No secret is found in anything that is written: logs, events, databases, reports, buckets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import boto3
import pytest
from dagster._core.instance import DagsterInstance

from ft_ops.definitions import defs
from ft_ops.months import Month
from ft_ops.pg.connect import connect
from ft_ops.sandbox import Sandbox, sandbox
from tests.fixtures.http import Inbox
from tests.production.traces import leaks, written

SECRETS = {
    name: f"Planted{name.title().replace('_', '')}81c4"
    for name in (
        *("database", "dagster", "aws", "session", "webhook", "mail", "heartbeat", "push"),
        *("pagerduty", "teams", "opsgenie"),
    )
}


def planted(environment: Mapping[str, str]) -> dict[str, str]:
    """A sandbox's environment with a secret wherever a deployment has one.

    The local server trusts whoever reaches its socket, and the local S3 takes any key.
    """
    settings = {name: value for name, value in environment.items() if name != "AWS_PROFILE"}
    for name, user, secret in (
        ("FT_DATABASE_URL", "ft_ops", SECRETS["database"]),
        ("FT_DAGSTER_DATABASE_URL", "ft_dagster", SECRETS["dagster"]),
    ):
        settings[name] = settings[name].replace(f"{user}@", f"{user}:{secret}@")
        assert secret in settings[name]
    return settings | {
        "AWS_SECRET_ACCESS_KEY": SECRETS["aws"],
        "AWS_SESSION_TOKEN": SECRETS["session"],
        # Nobody listens there: whatever is sent fails, and the failure is told.
        "HTTPS_PROXY": "http://127.0.0.1:1",
        "FT_ALERT_PAGERDUTY_KEY": SECRETS["pagerduty"],
        "FT_ALERT_OPSGENIE_KEY": SECRETS["opsgenie"],
        "FT_ALERT_TEAMS_URL": f"https://127.0.0.1:1/workflows/x?sig={SECRETS['teams']}",
        "FT_ALERT_WEBHOOK_URL": f"http://127.0.0.1:1/services/{SECRETS['webhook']}",
        "FT_ALERT_EMAIL_TO": "operations@example.org",
        "FT_SMTP_URL": f"smtp://ft:{SECRETS['mail']}@127.0.0.1:1",
        "FT_HEARTBEAT_URL": f"http://127.0.0.1:1/ping/{SECRETS['heartbeat']}",
        "FT_FIRST_MONTH": str(Month(2024, 1)),
        "PYTHONWARNINGS": "ignore",
    }


FAULTS: Mapping[str, tuple[str, Mapping[str, str], str]] = {
    "a server that is not there": (
        "check_partition_coverage",
        {"FT_DATABASE_URL": f"postgresql://ft_ops:{SECRETS['database']}@127.0.0.1:1/familytales"},
        "ft_ops@127.0.0.1:1/familytales",
    ),
    "a role that is not there": (
        "check_partition_coverage",
        {"FT_DATABASE_URL": f"postgresql://nobody:{SECRETS['database']}@/familytales?host=SOCKET"},
        'role "nobody" does not exist',
    ),
    "a URL that is none": (
        "check_partition_coverage",
        {"FT_DATABASE_URL": f"host = localhost password = {SECRETS['database']} port = x = y"},
        "such as postgresql://",
    ),
    "a password that cuts its URL": (
        "check_partition_coverage",
        {"FT_DATABASE_URL": f"postgresql://ft_ops:1/{SECRETS['database']}@localhost/familytales"},
        "its database's name holds an @",
    ),
    "a URL without its beginning": (
        "check_partition_coverage",
        {"FT_DATABASE_URL": f"ft_ops:{SECRETS['database']}@localhost/familytales"},
        "such as postgresql://",
    ),
    "a bucket that is not there": (
        "check_archive_bucket",
        {"FT_ARCHIVE_BUCKET": "nowhere"},
        "create the bucket",
    ),
    "a setting that is wrong": (
        "check_archive_bucket",
        {"FT_RETENTION_YEARS": "many"},
        "FT_RETENTION_YEARS",
    ),
}
"""A job, the settings that make it fail, and what it then has to say."""


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with sandbox(announce=lambda line: None) as opened:
        yield opened


def test_a_failing_job_tells_no_secret(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in planted(box.child_environment(os.environ)).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    socket = quote(str(box.server.socket_dir), safe="/")
    with DagsterInstance.get() as instance:
        for fault, (job, settings, words) in FAULTS.items():
            with monkeypatch.context() as patch:
                for name, value in settings.items():
                    patch.setenv(name, value.replace("SOCKET", socket))
                result = defs.resolve_job_def(job).execute_in_process(
                    instance=instance, raise_on_error=False
                )
            assert not result.success, fault
            assert words in str(instance.all_logs(result.run_id)), fault
    printed = capfd.readouterr()
    traces = [("the console", f"{printed.out}{printed.err}".encode()), *written(box)]
    assert all(words.encode() in traces[0][1] for _, _, words in FAULTS.values())
    assert leaks(iter(traces), SECRETS) == set()


DEMO = """
import sys
from pathlib import Path
from rich.console import Console
from ft_ops.sandbox.demo import DemoSize, run_demo
run_demo(DemoSize(*map(int, sys.argv[1:5])), Path(sys.argv[5]), Console())
"""
"""`ft-ops demo` would start a sandbox of its own."""


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_a_whole_demo_tells_no_secret(box: Sandbox, inbox: Inbox, tmp_path: Path) -> None:
    report = tmp_path / "demo-report.json"
    size = ("20", "90", "60", "7")
    settings = {
        "FT_FIRST_MONTH": str(Month(2019, 1)),
        "FT_PURGE_ENABLED": "true",
        "FT_PURGE_GRACE_DAYS": "0",
        "FT_METRICS_PUSHGATEWAY_URL": inbox.url().replace("://", f"://ft:{SECRETS['push']}@"),
    }
    environment = planted(box.child_environment(os.environ)) | settings
    demo = subprocess.run(
        [sys.executable, "-c", DEMO, *size, str(report)],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert demo.returncode == 0, demo.stdout[-3000:]
    doctor = subprocess.run(
        [sys.executable, "-m", "ft_ops.cli", "doctor"],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert b"ok       database" in doctor.stdout

    assert inbox.requests
    traces = [
        ("the demo", demo.stdout + demo.stderr),
        ("the doctor", doctor.stdout + doctor.stderr),
        (str(report), report.read_bytes()),
        *written(box),
    ]
    places = {place.partition("/")[0] for place, _ in traces}
    assert {"dagster.public.event_logs", "familytales.ops.archive", "s3:"} <= places
    assert leaks(iter(traces), SECRETS) == set()


def test_the_search_finds_what_is_there(box: Sandbox) -> None:
    with connect(box.database_url, application="tests") as connection:
        connection.execute("CREATE TABLE notes (note text)")
        connection.execute("INSERT INTO notes VALUES (%s)", (f"see {SECRETS['aws']}",))
        try:
            assert leaks(written(box), SECRETS) == {("aws", "familytales.public.notes")}
        finally:
            connection.execute("DROP TABLE notes")
