"""The page arrives as a file, in the bucket and by mail; a way that fails stops no other."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr

from ft_ops.definitions import defs
from ft_ops.overview.delivery import Page, deliver
from ft_ops.s3.bucket import Bucket
from ft_ops.settings import Settings
from tests.fixtures.mail import MailServer
from tests.fixtures.postgres import Database

UNDELIVERED = "overview: page by FT_OVERVIEW_FILE"
"""The line that a way which fails has on the page in the UI."""

PAGE = Page(
    "<p>Ünder \ud800", "All is well.\nBcc: x", "All is well.", datetime(2026, 3, 2, tzinfo=UTC)
)


def settings_for(tmp_path: Path, mail_server: MailServer, bucket: Bucket) -> Settings:
    return Settings(
        overview_file=tmp_path / "page.html",
        overview_prefix="overview",
        archive_bucket=bucket.name,
        overview_email_to=frozenset({"a@example.org", "b@example.org"}),
        smtp_url=SecretStr(mail_server.url),
        alert_email_from="ops@example.org",
    )


def test_it_arrives_by_every_way(tmp_path: Path, mail_server: MailServer, bucket: Bucket) -> None:
    delivered = deliver(PAGE, settings_for(tmp_path, mail_server, bucket), print)
    assert not delivered.failed
    path = tmp_path / "page.html"
    assert path.read_text(encoding="utf-8") == "<p>Ünder \\ud800"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
    for key in ("overview/2026-03-02.html", "overview/latest.html"):
        stored = bucket.client.get_object(Bucket=bucket.name, Key=key)
        assert stored["ContentType"] == "text/html; charset=utf-8"
        assert stored["Body"].read().decode() == "<p>Ünder \\ud800"
    [text] = mail_server.messages
    message = email.message_from_string(text, policy=email.policy.default)
    assert message["Subject"] == "[FamilyTales] All is well. Bcc: x"
    assert message["To"] == "a@example.org, b@example.org"
    assert message["Bcc"] is None
    assert text.isascii()
    assert max(map(len, text.splitlines())) < 998
    [attached] = message.iter_attachments()
    assert attached.get_filename() == "overview-2026-03-02.html"
    assert attached.get_content_type() == "text/html"
    assert "Ünder" in attached.get_content()


def test_nothing_is_done_while_no_way_is_set() -> None:
    delivered = deliver(
        PAGE, Settings(archive_bucket="none", smtp_url=SecretStr("smtp://x")), print
    )
    assert (delivered.done, delivered.failed) == ((), ())


def test_a_way_that_fails_is_named_and_stops_no_other(
    tmp_path: Path, mail_server: MailServer, bucket: Bucket
) -> None:
    whole = settings_for(tmp_path, mail_server, bucket)
    broken: list[tuple[str, dict[str, object]]] = [
        ("FT_OVERVIEW_FILE", {"overview_file": tmp_path / "missing" / "page.html"}),
        ("FT_OVERVIEW_PREFIX", {"archive_bucket": "no-such-bucket-anywhere"}),
        ("FT_OVERVIEW_EMAIL_TO", {"smtp_url": SecretStr("smtp://127.0.0.1:1")}),
        ("FT_OVERVIEW_EMAIL_TO", {"smtp_url": None}),
    ]
    for way, change in broken:
        delivered = deliver(PAGE, whole.model_copy(update=change), print)
        assert [failed.name for failed in delivered.failed] == [way]
        assert len(delivered.done) == 2


def test_an_address_that_the_mail_server_refuses_is_named(mail_server: MailServer) -> None:
    mail_server.refused = {"b@example.org"}
    settings = Settings(
        overview_email_to=frozenset({"a@example.org", "b@example.org"}),
        smtp_url=SecretStr(mail_server.url),
    )
    [failed] = deliver(PAGE, settings, print).failed
    assert "all but b@example.org" in failed.cause
    assert len(mail_server.messages) == 1


def test_a_file_that_can_not_be_replaced_leaves_the_old_one_and_nothing_beside_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "page.html"
    path.mkdir()
    [failed] = deliver(PAGE, Settings(overview_file=path), print).failed
    assert failed.name == "FT_OVERVIEW_FILE"
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


def test_the_job_ends_well_and_its_check_fails_when_a_way_does(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The page in the UI and the figures for Prometheus come all the same, and name the way."""
    monkeypatch.setenv("FT_DATABASE_URL", database.url)
    monkeypatch.setenv("FT_OVERVIEW_FILE", str(tmp_path / "page.html"))
    result, check = made()
    assert check.passed
    [event] = result.asset_materializations_for_node("overview")
    assert event.metadata["delivered to"].value == str(tmp_path / "page.html")
    assert "last good backup" in (tmp_path / "page.html").read_text(encoding="utf-8")
    monkeypatch.setenv("FT_OVERVIEW_FILE", str(tmp_path / "missing" / "page.html"))
    result, check = made()
    assert not check.passed
    assert "FT_OVERVIEW_FILE" in str(check.description)
    [event] = result.asset_materializations_for_node("overview")
    shown = str(event.metadata["overview"].value).replace("\xa0", " ")
    assert UNDELIVERED.removeprefix("overview: ").replace("_", "\\_") in shown
    assert result.asset_materializations_for_node("exported_metrics")


def made() -> tuple[dg.ExecuteInProcessResult, dg.AssetCheckEvaluation]:
    with dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def("make_overview").execute_in_process(instance=instance)
    assert result.success
    [check] = result.get_asset_check_evaluations()
    return result, check
