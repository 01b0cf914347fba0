"""PagerDuty, Teams and Opsgenie over real HTTPS: what each gets, and what is known of a refusal."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from ft_ops import deadline
from ft_ops.alerting import Alert, News, Opsgenie, PagerDuty, Teams, Told, alert_channels, tell
from ft_ops.alerting import sent_log as log_of_sent
from ft_ops.alerting.channels import Channel
from ft_ops.alerting.sent_log import refusals
from ft_ops.errors import OpsError
from ft_ops.settings import Settings
from tests.alerting.test_sent_log import Texts
from tests.fixtures.internet import Internet

KEY = "0123456789abcdef0123456789abcdef"
WORKFLOW = (
    "https://prod-07.westus.logic.azure.com:443/workflows/643e69f83c8944/triggers/manual/paths/"
    f"invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig={KEY}"
)
NEW = "/powerautomate/automations/direct/workflows/643e69f83c8944/triggers/manual/paths/invoke"
ALERT = Alert(
    identity="check archive backups_verified error",
    level="error",
    title="check backups_verified of archive fails",
    detail="[open](http://elsewhere.example) <at>everybody</at>: no verified backup",
    link="https://dagster.example.org/runs/42",
    runbook="https://git.example.org/docs/runbook.md#backups_verified",
    incident="check archive backups_verified",
)
WARNING = replace(ALERT, level="warning", identity="check archive backups_verified warning")
RECOVERED = replace(ALERT, level="recovered", identity="check archive backups_verified recovered")
CHANNELS: list[Channel] = [PagerDuty(KEY), Teams(WORKFLOW), Opsgenie(KEY)]


def named(channel: Channel) -> str:
    return channel.name


def test_pagerduty_gets_an_event_of_version_2_and_resolves_it_by_the_same_key(
    internet: Internet,
) -> None:
    channel = PagerDuty(KEY, deployment="https://dagster.example.org")
    for alert in (ALERT, WARNING, RECOVERED):
        channel.send(alert)
    (_, first), (_, second), (_, third) = internet.requests
    assert {host for host, _ in internet.requests} == {"events.pagerduty.com"}
    assert (first.method, first.path) == ("POST", "/v2/enqueue")
    event, warning, resolved = (json.loads(one.body) for one in (first, second, third))
    assert event["routing_key"] == KEY
    assert event["event_action"] == "trigger"
    payload = event["payload"]
    assert (payload["summary"], payload["severity"]) == (ALERT.title, "error")
    assert payload["source"] == "https://dagster.example.org"
    assert payload["custom_details"]["detail"] == ALERT.detail
    assert payload["custom_details"]["what to do"] == ALERT.runbook
    assert event["links"] == [{"href": ALERT.link}]
    assert warning["payload"]["severity"] == "warning"
    assert resolved == {
        "routing_key": KEY,
        "event_action": "resolve",
        "dedup_key": event["dedup_key"],
    }
    assert warning["dedup_key"] == event["dedup_key"]


def test_incidents_of_two_deployments_are_two(internet: Internet) -> None:
    for deployment in ("https://a.example.org", "https://b.example.org"):
        PagerDuty(KEY, "eu", deployment).send(ALERT)
    assert {host for host, _ in internet.requests} == {"events.eu.pagerduty.com"}
    keys = {json.loads(request.body)["dedup_key"] for _, request in internet.requests}
    assert len(keys) == 2


def test_opsgenie_gets_an_alert_and_closes_it_by_its_alias(internet: Internet) -> None:
    channel = Opsgenie(KEY, "eu")
    for alert in (ALERT, WARNING, RECOVERED):
        channel.send(alert)
    assert {host for host, _ in internet.requests} == {"api.eu.opsgenie.com"}
    opened, warned, closed = (request for _, request in internet.requests)
    assert all(one.headers["Authorization"] == f"GenieKey {KEY}" for one in (opened, closed))
    told = json.loads(opened.body)
    assert opened.path == "/v2/alerts"
    assert (told["message"], told["priority"]) == (ALERT.title, "P2")
    assert str(ALERT.runbook) in told["description"]
    assert json.loads(warned.body)["priority"] == "P4"
    assert closed.path == f"/v2/alerts/{told['alias']}/close?identifierType=alias"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        (WORKFLOW, "/workflows/643e69f83c8944/triggers/manual/paths/invoke"),
        (
            f"https://default6f.1e.environment.api.powerplatform.com:443{NEW}?api-version=1&sig={KEY}",
            NEW,
        ),
    ],
)
def test_teams_gets_a_card_in_which_nobodys_text_makes_links_or_mentions(
    internet: Internet, url: str, path: str
) -> None:
    Teams(url).send(ALERT)
    [(_, request)] = internet.requests
    asked, _, question = request.path.partition("?")
    assert asked == path
    assert f"sig={KEY}" in question
    [attached] = json.loads(request.body)["attachments"]
    assert attached["contentType"] == "application/vnd.microsoft.card.adaptive"
    title, body = attached["content"]["body"]
    assert title["text"].endswith(ALERT.title)
    assert f"[run]({ALERT.link})" in body["text"]
    assert "](http://elsewhere" not in body["text"]
    assert "entities" not in attached["content"]["msteams"]


def test_what_is_longer_than_a_service_takes_is_sent_cut(internet: Internet) -> None:
    long = replace(ALERT, title="x" * 3000, detail="y" * 30_000)
    for channel in CHANNELS:
        channel.send(long)
    pagerduty, teams, opsgenie = (json.loads(request.body) for _, request in internet.requests)
    assert len(pagerduty["payload"]["summary"]) <= 1024
    assert len(json.dumps(teams)) <= 28_000
    assert len(opsgenie["message"]) <= 130


@pytest.mark.parametrize("channel", CHANNELS, ids=named)
@pytest.mark.parametrize("status", [302, 403, 429, 500])
def test_a_refusal_is_told_by_its_status_and_followed_nowhere(
    internet: Internet, channel: Channel, status: int
) -> None:
    internet.status, internet.location = status, "https://elsewhere.example/"
    with pytest.raises(OpsError, match=rf"HTTP {status}\b") as caught:
        channel.send(ALERT)
    assert_nothing_quoted(caught.value)
    assert len(internet.requests) == 1


@pytest.mark.parametrize("channel", CHANNELS, ids=named)
def test_a_host_whose_certificate_nobody_signed_gets_nothing(
    internet: Internet, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    import certifi

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    with pytest.raises(OpsError, match="SSL") as caught:
        channel.send(ALERT)
    assert_nothing_quoted(caught.value)
    assert not internet.requests


@pytest.mark.parametrize("channel", [*CHANNELS], ids=named)
def test_an_unreachable_host_is_an_error_that_quotes_nothing(
    channel: Channel, internet: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with pytest.raises(OpsError, match=r"ProxyError|Connection") as caught:
        channel.send(ALERT)
    assert_nothing_quoted(caught.value)


@pytest.mark.parametrize("way", ["hangs", "drips"])
def test_a_channel_that_never_ends_is_not_taken_for_one_that_heard(
    internet: Internet, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A silent host ends by the library's own limit; one that drips has none but ours."""
    setattr(internet, way, True)
    # What another test left hanging is no business of this one.
    monkeypatch.setattr(deadline, "_hanging", {})
    monkeypatch.setattr(log_of_sent, "_DEADLINE_SECONDS", 1.0)
    store, now = Texts(), datetime(2026, 3, 1, tzinfo=UTC)
    told = Told(store, "tests")
    with pytest.raises(OpsError, match="no end after 1 seconds"):
        tell(
            [News(ALERT, "event")],
            [PagerDuty(KEY)],
            told,
            repeat_after=timedelta(days=1),
            secrets=(),
            now=now,
        )
    assert "no end" in refusals(store)["pagerduty"].cause
    assert [item.event for item in told.waiting(PagerDuty(KEY))] == ["event"]


@pytest.mark.parametrize("channel", CHANNELS, ids=named)
def test_no_log_holds_a_key_however_much_is_logged(
    internet: Internet, channel: Channel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(1)
    for name in ("apprise", "urllib3", "urllib3.connectionpool"):
        caplog.set_level(1, logger=name)
    for status in (202, 500):
        internet.status = status
        try:
            channel.send(ALERT)
        except OpsError:
            logging.getLogger("tests").info("refused")
    assert "refused" in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/hook?sig=hunter2",
        WORKFLOW.partition("&sig")[0],
        WORKFLOW.replace("https:", "http:"),
        f"{WORKFLOW.partition('&sig')[0]}&sig=hunter2 with spaces",
    ],
)
def test_an_address_of_no_workflow_is_refused_and_stops_no_other_channel(
    internet: Internet, url: str
) -> None:
    store, now = Texts(), datetime(2026, 3, 1, tzinfo=UTC)
    with pytest.raises(OpsError, match="FT_ALERT_TEAMS_URL") as caught:
        tell(
            [News(ALERT, "event")],
            [Teams(url), PagerDuty(KEY)],
            Told(store, "tests"),
            repeat_after=timedelta(days=1),
            secrets=(),
            now=now,
        )
    assert "hunter2" not in str(caught.value)
    assert [host for host, _ in internet.requests] == ["events.pagerduty.com"]


def test_a_workflows_address_names_no_option_of_the_library(internet: Internet) -> None:
    Teams(f"{WORKFLOW}&template=/etc/passwd&verify=no&redirect=yes&rto=9999").send(ALERT)
    [(_, request)] = internet.requests
    assert "passwd" not in request.body


def test_each_channel_is_told_what_is_severe_enough_for_it(internet: Internet) -> None:
    settings = Settings(
        alert_pagerduty_key=SecretStr(KEY),
        alert_teams_url=SecretStr(WORKFLOW),
        alert_opsgenie_key=SecretStr(KEY),
        alert_opsgenie_severity="warning",
    )
    tell(
        [News(WARNING, "a warning")],
        alert_channels(settings),
        Told(Texts(), "tests"),
        repeat_after=timedelta(days=1),
        secrets=(),
        now=datetime(2026, 3, 1, tzinfo=UTC),
    )
    hosts = [host for host, _ in internet.requests]
    assert hosts == ["prod-07.westus.logic.azure.com", "api.opsgenie.com"]


@pytest.mark.parametrize("key", ["two words", "https://pagerduty.example", "line\nbreak"])
def test_a_key_that_is_none_is_refused_without_being_quoted(key: str) -> None:
    with pytest.raises(ValueError, match="alert_pagerduty_key") as caught:
        Settings(alert_pagerduty_key=SecretStr(key))
    assert key not in str(caught.value)


def assert_nothing_quoted(error: BaseException | None) -> None:
    """Neither the error nor any that it came from holds the key."""
    while error is not None:
        assert KEY not in f"{error} {error.args}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
