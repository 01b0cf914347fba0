"""Prometheus gets the figures, by file or by push."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ft_ops.errors import OpsError
from ft_ops.health import TimedSample
from ft_ops.overview import prometheus
from ft_ops.overview.prometheus import push, registry_of, write_textfile
from tests.fixtures.http import Inbox
from tests.fixtures.slow import Say, answering, headed, trickle

NOON, MIDNIGHT = datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
SAMPLES = [
    TimedSample("table_bytes", "public.users", 42.0, NOON),
    TimedSample("table_bytes", 'odd "name"\\', 7.0, MIDNIGHT),
    TimedSample("database_bytes", "", 99.0, MIDNIGHT),
]


def figures(text: str) -> dict[tuple[str, str], float]:
    return {
        (sample.name, "".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


EXPECTED = {
    ("ft_table_bytes", "public.users"): 42.0,
    ("ft_table_bytes", 'odd "name"\\'): 7.0,
    ("ft_database_bytes", ""): 99.0,
    ("ft_sampled_timestamp_seconds", "table_bytes"): NOON.timestamp(),
    ("ft_sampled_timestamp_seconds", "database_bytes"): MIDNIGHT.timestamp(),
}


def test_a_textfile_holds_every_figure_and_when_it_was_taken(tmp_path: Path) -> None:
    path = tmp_path / "ft.prom"
    path.write_text("old")
    write_textfile(registry_of(SAMPLES), path)
    assert figures(path.read_text(encoding="utf-8")) == EXPECTED
    assert list(tmp_path.iterdir()) == [path]


def test_a_textfile_that_can_not_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OpsError, match="FT_METRICS_TEXTFILE"):
        write_textfile(registry_of(SAMPLES), tmp_path / "missing" / "ft.prom")


def test_a_push_replaces_the_job_and_logs_in(inbox: Inbox) -> None:
    push(registry_of(SAMPLES), inbox.url().replace("://", "://ops:p%40ss@"))
    [request] = inbox.requests
    assert (request.method, request.path) == ("PUT", "/metrics/job/ft_ops")
    assert figures(request.body) == EXPECTED
    credentials = base64.b64encode(b"ops:p@ss").decode()
    assert request.headers["Authorization"] == f"Basic {credentials}"


def test_a_gateway_that_refuses_is_an_error_without_its_password(inbox: Inbox) -> None:
    inbox.status = 500
    with pytest.raises(OpsError, match="FT_METRICS_PUSHGATEWAY_URL") as caught:
        push(registry_of(SAMPLES), inbox.url().replace("://", "://ops:hunter2@"))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("say", "cause"),
    [
        (lambda taken: taken.sendall(b"nonsense\r\n\r\n"), "BadStatusLine"),
        (trickle(headed(0) * 9), "no end after 0.5 seconds"),
    ],
)
def test_a_gateway_that_speaks_otherwise_or_for_ever_is_an_error_of_the_setting(
    say: Say, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(prometheus, "_LONGEST_SECONDS", 0.5)
    with answering(say) as url, pytest.raises(OpsError, match=cause) as told:
        push(registry_of(SAMPLES), url)
    assert "FT_METRICS_PUSHGATEWAY_URL" in told.value.next_step
