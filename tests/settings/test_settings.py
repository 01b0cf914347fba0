"""A setting that can't be is told by its variable, its problem and what may be, and no more."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin

import annotated_types
import pytest
from pydantic import Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from ft_ops.errors import OpsError, mask_secrets
from ft_ops.months import Month
from ft_ops.settings import Settings, accepted, load_settings

SETTINGS = Settings.model_fields

IMPOSSIBLE = {
    bool: "perhaps",
    int: "2.5",
    float: "inf",
    Month: "2024-13",
}

OF_A_FORM = {
    "alert_email_from": "ft-ops",
    "alert_email_to": "ada@example.org,grace",
    "alert_opsgenie_key": "hunter2 hunter2",
    "alert_pagerduty_key": "https://hunter2.example.org",
    "alert_teams_url": "http://hunter2.example.org/workflows",
    "alert_webhook_url": "hooks.example.org/hunter2",
    "archive_bucket": "familytales-archive/",
    "archive_replica_bucket": "familytales-archive-second/",
    "archive_replica_region": "eu west",
    "archive_prefix": "archive/",
    "backup_bucket": "s3://familytales-backups",
    "backup_endpoint_url": "https://me:hunter2@s3.example.org",
    "backup_prefix": "/barman",
    "dagster_database_url": "mysql://dagster:hunter2@host/dagster",
    "dagster_url": "dagster.example.org",
    "database_url": "ft_ops:hunter2@host/familytales",
    "dr_bucket": "familytales backups",
    "dr_region": "https://eu-west-1.console.aws.amazon.com",
    "ecs_task_role_prefix": "familytales-",
    "evidence_prefix": "/evidence",
    "heartbeat_url": "ping/hunter2",
    "k8s_service_account_prefix": "ft_ops_",
    "media_inventory": "familytales-media",
    "metrics_pushgateway_url": "pushgateway:9091",
    "metrics_textfile": "/var/lib/ft_ops.txt",
    "other_volumes_gb": "fast=plenty",
    "overview_email_to": "a b@example.org",
    "overview_file": "/srv/www/overview.htm",
    "overview_prefix": "overview/",
    "rds_instance": "familytales.abc.eu-west-1.rds.amazonaws.com",
    "runbook_url": "docs/",
    "smtp_url": "mail.example.org:25",
    "staging_bucket": "s3://familytales-staging",
    "web_hosts": "https://dagster.example.org",
}

FREE = {
    "app_role",
    "archive_prices_file",
    "backup_server",
    "dr_kms_key",
    "drill_folder",
    "evidence_former_keys",
    "evidence_key_file",
    "evidence_kms_key",
    "pg_bin_dir",
    "pgbackrest_config",
    "pgbackrest_stanza",
    "require_extensions",
    "staging_salt_file",
    "upgrade_bin_dir",
    "wal_spool",
}
"""Any text may be one of these; whether it is right shows where it is used."""


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in os.environ:
        if variable.startswith("FT_"):
            monkeypatch.delenv(variable)


def impossible(name: str, field: FieldInfo) -> list[str]:
    """Texts that the setting can't be."""
    if name in OF_A_FORM:
        return [OF_A_FORM[name]]
    kind = next((k for k in (field.annotation, *get_args(field.annotation)) if k in IMPOSSIBLE), "")
    if not isinstance(kind, type):
        return ["NOBODY"]
    found = [IMPOSSIBLE[kind]]
    for limit in field.metadata:
        match limit:
            case annotated_types.Ge(ge=int(bound) | float(bound)):
                found.append(str(bound - 1))
            case annotated_types.Gt(gt=int(bound) | float(bound)):
                found.append(str(bound))
            case annotated_types.Le(le=int(bound) | float(bound)):
                found.append(str(bound + 1))
    return found


@pytest.mark.parametrize("name", sorted(SETTINGS.keys() - FREE))
def test_what_a_setting_cannot_be_is_refused_by_name_with_what_it_can(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for text in impossible(name, SETTINGS[name]):
        monkeypatch.setenv(f"FT_{name.upper()}", text)
        with pytest.raises(OpsError) as refused:
            load_settings()
        told = refused.value.cause
        assert told.startswith(f"FT_{name.upper()}: "), told
        assert told.endswith(mask_secrets(f" (accepted: {accepted(SETTINGS[name])})")), told
        assert len(told) < 250, told
        assert "hunter2" not in f"{refused.value} {refused.value.__cause__}"


@pytest.mark.parametrize("name", sorted(FREE))
def test_other_settings_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"FT_{name.upper()}", "a text")
    value = getattr(load_settings(), name)
    told = value.get_secret_value() if isinstance(value, SecretStr) else value
    assert told in ("a text", Path("a text"), (Path("a text"),), frozenset({"a text"}))


def test_what_is_accepted_as_an_example_is(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {name: field.examples for name, field in SETTINGS.items() if field.examples}
    buckets = {name for name in OF_A_FORM if name.endswith("_bucket")}
    assert shown.keys() == OF_A_FORM.keys() - buckets | {"first_month"}
    for name, (example, *_) in shown.items():
        monkeypatch.setenv(f"FT_{name.upper()}", example)
    load_settings()


def test_every_wrong_setting_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_MONTH", "RETENTION_YEARS", "ARCHIVE_PREFIX", "BACKUP_PREFIX"):
        monkeypatch.setenv(f"FT_{name}", "/")
    with pytest.raises(OpsError) as refused:
        load_settings()
    assert refused.value.cause == (
        "FT_BACKUP_PREFIX: it begins or ends with a slash (accepted: text, such as barman); "
        "FT_ARCHIVE_PREFIX: it begins or ends with a slash (accepted: text, such as archive); "
        "FT_RETENTION_YEARS: Input should be a valid integer, unable to parse string as an "
        "integer (accepted: a whole number from 1 to 100); "
        "FT_FIRST_MONTH: expected YYYY-MM or YYYY-MM-01 (accepted: a month, such as 2024-01)"
    )


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = load_settings()
    for name in SETTINGS:
        monkeypatch.setenv(f"FT_{name.upper()}", "")
    assert load_settings() == defaults


def test_every_number_has_a_least_and_a_most() -> None:
    """A number without an end of its own ends in a date or a size that there is not."""
    numbers = {
        name: field
        for name, field in SETTINGS.items()
        if {int, float} & {field.annotation, *get_args(field.annotation)}
        and get_origin(field.annotation) is not Mapping
    }
    assert len(numbers) > 40
    for name, field in numbers.items():
        limits = {type(limit).__name__ for limit in field.metadata}
        assert {"Ge", "Gt"} & limits, f"{name} has no least value"
        assert "Le" in limits, f"{name} has no most value"


def test_what_surrounds_a_value_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = {
        "ARCHIVE_BUCKET": "memories",
        "DATABASE_URL": "postgresql://ft_ops:a@host/tales",
        "RETENTION_YEARS": "9",
        "DRILL_FOLDER": "/srv/drills",
    }
    for around in ("{}", "{}\n", " {}\t", "{}\r\n"):
        for name, value in plain.items():
            monkeypatch.setenv(f"FT_{name}", around.format(value))
        monkeypatch.setenv("FT_RDS_INSTANCE", around.format(""))
        settings = load_settings()
        assert settings.archive_bucket == "memories"
        assert settings.require_database_url() == "postgresql://ft_ops:a@host/tales"
        assert (settings.retention_years, settings.drill_folder) == (9, Path("/srv/drills"))
        assert settings.rds_instance is None


@pytest.mark.parametrize("sign", ["\x00a", "\x1b[31m", "\udcff", "\n", "\N{NO-BREAK SPACE}"])
def test_what_nobody_sees_is_refused(sign: str) -> None:
    with pytest.raises(ValidationError, match="FT_APP_ROLE: it holds a character that is no text"):
        Settings(app_role=f"ft{sign}app")


@pytest.mark.parametrize("value", ['"archive"', "'archive'"])
def test_quotes_that_a_deployment_hands_on_are_refused(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """Objects would lie in a folder whose name begins with a quote, and nobody would see it."""
    monkeypatch.setenv("FT_ARCHIVE_PREFIX", value)
    with pytest.raises(OpsError, match="FT_ARCHIVE_PREFIX: it is in quotes"):
        load_settings()
    monkeypatch.setenv("FT_ARCHIVE_PREFIX", "grandma's")
    assert load_settings().archive_prefix == "grandma's"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https:///ping/hunter2", "its host is missing"),
        ("https://:443/hunter2", "its host is missing"),
        ("https://me:hunter2@", "its host is missing"),
        ("https://watch.example.org/hunter2 # weekly", "it holds a space"),
        ("https://watch.example.org:0/hunter2", "its port is 0"),
        ("https://watch.example.org:65536/hunter2", "its host or its port"),
        ("https://watch.example.org:hunter2/", "its host or its port"),
        ("https://[::1/hunter2", "its host or its port"),
        ("https://watch.example.org:65535/ping", ""),
        ("http://[::1]:8080/ping?key=a@b", ""),
    ],
)
def test_a_url_leads_to_a_host(monkeypatch: pytest.MonkeyPatch, url: str, problem: str) -> None:
    monkeypatch.setenv("FT_HEARTBEAT_URL", url)
    if not problem:
        load_settings()
        return
    with pytest.raises(OpsError, match="FT_HEARTBEAT_URL: its ") as refused:
        load_settings()
    assert problem in refused.value.cause
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "is_taken"),
    [
        ("ALERT_EMAIL_FROM", "Operations <ft-ops@example.org>", True),
        ("ALERT_EMAIL_FROM", "Operations <ft-ops>", False),
        ("ALERT_EMAIL_TO", "ada@example.org, @example.org", False),
        ("ALERT_EMAIL_TO", "ada@example.org; grace@example.org", False),
        ("DR_REGION", "us-gov-west-1", True),
        ("DR_REGION", "Frankfurt", False),
        ("RDS_INSTANCE", "family-tales-2", True),
        ("RDS_INSTANCE", "family--tales", False),
        ("ECS_TASK_ROLE_PREFIX", "arn:aws-cn:iam::111122223333:role/ops/familytales-", True),
        ("ECS_TASK_ROLE_PREFIX", "arn:aws:iam::1111:role/familytales-", False),
        ("WEB_HOSTS", "b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example.org", False),
        ("WEB_HOSTS", "xn--bcher-kva.example.org,[::1],10.0.0.7", True),
        ("WEB_HOSTS", "$HOST", False),
    ],
)
def test_a_name_that_nothing_can_have_is_refused_before_it_is_used(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, is_taken: bool
) -> None:
    monkeypatch.setenv(f"FT_{name}", value)
    if is_taken:
        load_settings()
    else:
        with pytest.raises(OpsError, match=f"FT_{name}: "):
            load_settings()


def test_a_list_may_be_written_over_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FT_ALERT_EMAIL_TO", "ada@example.org,\n  grace@example.org\n")
    assert load_settings().alert_email_to == {"ada@example.org", "grace@example.org"}


def test_a_choice_is_told_by_its_words() -> None:
    for name, field in SETTINGS.items():
        choices = [k for k in (field.annotation, *get_args(field.annotation)) if _is_choice(k)]
        for choice in choices:
            assert all(word in accepted(field) for word in get_args(choice)), name


def test_what_is_accepted_is_told_by_its_kind() -> None:
    for kind, told in (
        (Literal["a", "b", "c"], "a, b or c"),
        (frozenset[str], "names, comma separated"),
        (int | None, "a whole number"),
        (Annotated[Path, "of a folder"], "a path"),
        (Annotated[Path, "of a folder"] | None, "a path"),
        (str, "text"),
    ):
        assert accepted(FieldInfo(annotation=kind)) == told  # type: ignore[arg-type]  # any type


def test_what_is_accepted_is_told_with_its_bounds() -> None:
    for kind, bounds, told in (
        (int, Field(ge=1, le=5), "a whole number from 1 to 5"),
        (float, Field(gt=0), "a number above 0"),
        (float, Field(le=1), "a number to 1"),
        (float, Field(), "a number"),
    ):
        assert accepted(FieldInfo.from_annotated_attribute(kind, bounds)) == told


def _is_choice(kind: object) -> bool:
    return get_origin(kind) is Literal


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("FIRST_MONTH", "1899-12", "it is before 1900"),
        ("FIRST_MONTH", str(Month.of(datetime.now(UTC)).plus(1)), "it is in the future"),
        ("DATABASE_URL", "127.0.0.1:5432/familytales", "it does not begin with postgresql://"),
        ("DATABASE_URL", "mysql://ft_ops:hunter2@db/tales", "it does not begin with postgresql://"),
        (
            "DATABASE_URL",
            "postgresql+psycopg2://ft_ops:hunter2@db/tales",
            "postgresql+psycopg2:// is how SQLAlchemy writes it",
        ),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(f"FT_{name}", value)
    with pytest.raises(OpsError) as refused:
        load_settings()
    assert refused.value.cause.startswith(f"FT_{name}: {problem}")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("month", ["1900-01", str(Month.of(datetime.now(UTC)))])
def test_the_first_month_may_be_any_that_has_begun(
    monkeypatch: pytest.MonkeyPatch, month: str
) -> None:
    monkeypatch.setenv("FT_FIRST_MONTH", month)
    assert str(load_settings().first_month) == month


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (
            {
                "FT_DATABASE_URL": "postgresql://ft_ops:hunter2@db:5432/tales",
                "FT_DAGSTER_DATABASE_URL": "postgresql+psycopg2://ft_dagster:hunter2@db/tales",
            },
            "FT_DAGSTER_DATABASE_URL",
        ),
        *(
            (
                {
                    "FT_DATABASE_URL": f"postgresql://ft_ops:hunter2@{one}/tales",
                    "FT_DAGSTER_DATABASE_URL": f"postgresql://ft_dagster:hunter2@{other}/tales",
                },
                "FT_DAGSTER_DATABASE_URL",
            )
            for one, other in (
                ("DB.example.org", "db.example.org:5432"),
                ("db.example.org.", "db.example.org"),
                ("localhost", "127.0.0.1"),
                ("a:5432,b:5433", "b:5433"),
                ("[::1]:5432", "localhost"),
                ("", "localhost"),
            )
        ),
        ({"FT_DRILL_FOLDER": "/srv/x", "FT_WAL_SPOOL": "/srv/x/../x/wal"}, "FT_DRILL_FOLDER"),
        ({"FT_ARCHIVE_BUCKET": "one", "FT_DR_BUCKET": "one"}, "FT_DR_BUCKET"),
        ({"FT_ARCHIVE_BUCKET": "one", "FT_BACKUP_BUCKET": "one"}, "FT_BACKUP_BUCKET"),
        ({"FT_DR_BUCKET": "one", "FT_BACKUP_BUCKET": "one"}, "FT_DR_BUCKET"),
        (
            {"FT_ARCHIVE_REPLICA_BUCKET": "one", "FT_ARCHIVE_BUCKET": "one"},
            "FT_ARCHIVE_REPLICA_BUCKET",
        ),
        (
            {"FT_ARCHIVE_REPLICA_BUCKET": "one", "FT_BACKUP_BUCKET": "one"},
            "FT_ARCHIVE_REPLICA_BUCKET",
        ),
    ],
)
def test_what_must_be_two_is_not_one(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], named: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OpsError) as refused:
        load_settings()
    assert refused.value.cause.startswith(f"{named}: it ")
    assert "hunter2" not in str(refused.value)
    monkeypatch.setenv(named, settings[named] + "_too")
    load_settings()


@pytest.mark.parametrize(
    ("one", "other", "same", "apart"),
    [
        ("ARCHIVE_BUCKET", "BACKUP_BUCKET", "memories", "backups"),
        ("BACKUP_BUCKET", "DR_BUCKET", "backups", "backups-elsewhere"),
        ("ARCHIVE_PREFIX", "EVIDENCE_PREFIX", "archive", "evidence"),
        ("ARCHIVE_PREFIX", "OVERVIEW_PREFIX", "archive", "overview"),
        (
            "DATABASE_URL",
            "DAGSTER_DATABASE_URL",
            "postgresql://ft_ops:a@host/familytales",
            "postgresql+psycopg2://dagster:b@host/dagster",
        ),
    ],
)
def test_two_things_that_must_differ_are_compared(
    monkeypatch: pytest.MonkeyPatch, one: str, other: str, same: str, apart: str
) -> None:
    monkeypatch.setenv(f"FT_{one}", same)
    monkeypatch.setenv(
        f"FT_{other}", same.replace("postgresql:", "postgresql+psycopg2:").replace(":a@", ":b@")
    )
    with pytest.raises(OpsError, match=f"FT_{other}: it .* of FT_{one}"):
        load_settings()
    monkeypatch.setenv(f"FT_{other}", apart)
    load_settings()


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("FT_ARCHIVE_PREFIX", "archive/../evidence", "a part of it is empty, . or .."),
        ("FT_BACKUP_PREFIX", "barman//main", "a part of it is empty, . or .."),
        ("FT_ARCHIVE_BUCKET", "arn:aws:s3:::familytales-archive", "it is the bucket's ARN"),
        ("FT_BACKUP_BUCKET", "arn:aws:s3:eu-west-1:111122223333:accesspoint/backups", ""),
        ("FT_ARCHIVE_PREFIX", "operations/archive", ""),
    ],
)
def test_a_place_in_s3_is_written_as_its_programs_write_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(name, value)
    if problem:
        with pytest.raises(OpsError, match=f"{name}: {problem}"):
            load_settings()
    else:
        assert value in {load_settings().archive_prefix, load_settings().backup_bucket}
