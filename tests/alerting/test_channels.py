"""Alerts and heartbeats over real HTTP and SMTP: what arrives, and what never does."""

from __future__ import annotations

import json
import quopri
import time
from dataclasses import replace

import pytest
from pydantic import SecretStr

from ft_ops.alerting import (
    Alert,
    Mail,
    Webhook,
    alert_channels,
    call_heartbeat,
    channels,
    known_secrets,
)
from ft_ops.errors import OpsError
from ft_ops.settings import Settings
from tests.fixtures.http import Inbox
from tests.fixtures.mail import MailServer
from tests.fixtures.slow import answering, headed, trickle

ALERT = Alert(
    identity="run archive_old_content: bucket",
    level="error",
    title="archive_old_content for 2017-03-01 failed",
    detail="bucket <b> & co: 503",
    link="https://dagster.example.org/runs/42",
    runbook="docs/runbook.md#archive_old_content",
)


def test_a_webhook_gets_slack_json_with_the_run_and_the_runbook(inbox: Inbox) -> None:
    Webhook(inbox.url("/services/T0/B0/x")).send(ALERT)
    [request] = inbox.requests
    assert (request.method, request.path) == ("POST", "/services/T0/B0/x")
    message = json.loads(request.body)
    assert ALERT.title in message["text"]
    [section, context] = message["blocks"]
    assert "bucket &lt;b&gt; &amp; co: 503" in section["text"]["text"]
    links = context["elements"][0]["text"]
    assert "<https://dagster.example.org/runs/42|run>" in links
    assert "docs/runbook.md#archive_old_content" in links


@pytest.mark.parametrize("status", [302, 404, 500])
def test_what_is_not_accepted_is_an_error_that_does_not_quote_the_address(
    inbox: Inbox, status: int
) -> None:
    inbox.status, inbox.location = status, inbox.url("/elsewhere")
    with pytest.raises(OpsError, match=str(status)) as caught:
        Webhook(inbox.url("/services/T0/B0/secret")).send(ALERT)
    assert "secret" not in str(caught.value)
    assert [request.path for request in inbox.requests] == ["/services/T0/B0/secret"]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/secret", "http://no such host/secret", "file:///etc/secret"]
)
def test_an_address_that_leads_nowhere_is_not_quoted_either(url: str) -> None:
    with pytest.raises(OpsError, match="FT_HEARTBEAT_URL") as caught:
        call_heartbeat(url)
    error: BaseException | None = caught.value
    while error is not None:
        assert "secret" not in str(error)
        error = error.__cause__


def test_a_heartbeat_is_a_get(inbox: Inbox) -> None:
    call_heartbeat(inbox.url("/ping/abc"))
    assert [(r.method, r.path) for r in inbox.requests] == [("GET", "/ping/abc")]


def test_no_secret_of_the_deployment_gets_into_an_alert() -> None:
    settings = Settings(
        database_url=SecretStr("postgresql://ops:p%40ss-word@db/familytales"),
        alert_webhook_url=SecretStr("https://hooks.example.org/services/T0/B0/hook"),
        smtp_url=SecretStr("smtps://mailer:mail-pass@mail.example.org"),
    )
    secrets = known_secrets(
        settings, [("AWS_SECRET_ACCESS_KEY", "aws/secret+key"), ("HOME", "/home/ops")]
    )
    quoting = Alert(
        identity="connecting with p@ss-word",
        level="error",
        title="password p%40ss-word",
        detail="postgresql://a:other@h p@ss-word mail-pass aws/secret+key /home/ops "
        "https://hooks.example.org/services/T0/B0/hook",
        link=None,
        runbook=None,
    )
    masked = quoting.masked(secrets)
    everything = f"{masked.identity} {masked.title} {masked.detail}"
    for secret in ("p@ss-word", "p%40ss-word", "other", "mail-pass", "aws/secret", "hook"):
        assert secret not in everything
    assert "/home/ops" in everything


def test_mail_arrives_with_its_links(mail_server: MailServer) -> None:
    Mail(mail_server.url, "ops@example.org", frozenset({"b@example.org", "a@example.org"})).send(
        ALERT
    )
    [message] = mail_server.messages
    assert "Subject: [FamilyTales] error: archive_old_content for 2017-03-01 failed" in message
    assert "To: a@example.org, b@example.org" in message
    assert "Run: https://dagster.example.org/runs/42" in message
    assert "\nDate: " in message


def test_a_mail_about_a_file_whose_name_is_no_text_arrives_in_seven_bits(
    mail_server: MailServer,
) -> None:
    strange = replace(ALERT, title="caf\udce9 …", detail=f"/tmp/caf\udce9 …{'x' * 2000}")
    channel = Mail(mail_server.url, "ops@example.org", frozenset({"a@example.org"}))
    channel.send(strange.masked(()))
    [message] = mail_server.messages
    assert message.isascii()
    assert "caf\\udce9 …" in quopri.decodestring(message).decode()
    assert max(map(len, message.splitlines())) < 100


def test_a_mail_password_is_not_sent_in_the_clear(mail_server: MailServer) -> None:
    url = mail_server.url.replace("smtp://", "smtp://mailer:mail-pass@")
    with pytest.raises(OpsError, match="encryption"):
        Mail(url, "ops@example.org", frozenset({"a@example.org"})).send(ALERT)
    assert not mail_server.messages
    assert not any("AUTH" in command for command in mail_server.commands)


def test_mail_without_a_server_is_refused() -> None:
    with pytest.raises(OpsError, match="FT_SMTP_URL is not set"):
        alert_channels(Settings(alert_email_to=frozenset({"a@example.org"})))


def test_a_heartbeat_whose_host_drips_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(channels, "_HEARTBEAT_SECONDS", 0.5)
    began = time.monotonic()
    with answering(trickle(headed(0) * 9)) as url:
        with pytest.raises(OpsError, match=r"no end after 0\.5 seconds") as refused:
            call_heartbeat(f"{url}/secret")
        with pytest.raises(OpsError, match="has not ended yet"):
            call_heartbeat(f"{url}/secret")
    assert time.monotonic() - began < 4
    assert "secret" not in str(refused.value)
