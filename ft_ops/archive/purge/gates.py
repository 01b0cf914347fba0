"""How a purge decides: every condition that must hold before a month leaves the database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ft_ops.archive.month.content import TABLES
from ft_ops.archive.month.holds import holds_on
from ft_ops.archive.month.ledger import Generation
from ft_ops.archive.move.preflight import due_on
from ft_ops.archive.store.manifest import refuse_other_manifest
from ft_ops.backups import newest_verified_backup
from ft_ops.errors import OpsError
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import head, read_object


@dataclass(frozen=True, slots=True)
class PurgeRules:
    """When a purge may happen at all, by the settings."""

    enabled: bool
    grace: timedelta
    retention_years: int


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition, whether it holds, and why or why not."""

    name: str
    passed: bool
    detail: str


def purge_gates(
    connection: Connection,
    bucket: Bucket,
    generation: Generation,
    rules: PurgeRules,
    now: datetime,
) -> list[Gate]:
    """Every gate but the last one, the digest, which is taken when all of these are open.

    All are evaluated, so that a person sees everything that is in the way at once.
    """
    return [
        _enabled(rules),
        _still_due(generation.month, rules, now),
        _proven(generation),
        _past_grace(generation, rules, now),
        _not_held(connection, generation),
        _backed_up(connection, generation),
        *_stored(bucket, generation),
    ]


def refreeze_gates(
    connection: Connection,
    bucket: Bucket,
    generations: Sequence[Generation],
    rules: PurgeRules,
    now: datetime,
) -> list[Gate]:
    """Every gate before a thawed month is removed again, whose archive is still its proof."""
    return [
        _enabled(rules),
        _still_due(generations[-1].month, rules, now),
        _not_held(connection, generations[-1]),
        *(gate for generation in generations for gate in _stored(bucket, generation)),
    ]


def _enabled(rules: PurgeRules) -> Gate:
    detail = "FT_PURGE_ENABLED is true" if rules.enabled else "FT_PURGE_ENABLED is not set to true"
    return Gate("enabled", rules.enabled, detail)


def _still_due(month: Month, rules: PurgeRules, now: datetime) -> Gate:
    """Asked again: whoever raises FT_RETENTION_YEARS means the months that were archived, too."""
    due = due_on(month, rules.retention_years)
    return Gate(
        "still due",
        due <= now,
        f"due since {due:%Y-%m-%d}"
        if due <= now
        else f"not before {due:%Y-%m-%d}, by FT_RETENTION_YEARS={rules.retention_years}",
    )


def _proven(generation: Generation) -> Gate:
    passed = generation.state in {"frozen", "purging"} and generation.certificate is not None
    return Gate("proven and frozen", passed, f"{generation.name} is {generation.state}")


def _past_grace(generation: Generation, rules: PurgeRules, now: datetime) -> Gate:
    if generation.proven_at is None:
        return Gate("grace", False, "there is no proof whose grace could have passed")
    until = generation.proven_at + rules.grace
    return Gate("grace", now >= until, f"until {until:%Y-%m-%d %H:%M} UTC")


def _not_held(connection: Connection, generation: Generation) -> Gate:
    holds = holds_on(connection, generation.month)
    detail = "; ".join(str(hold) for hold in holds) or "none"
    return Gate("legal holds", not holds, detail)


def _backed_up(connection: Connection, generation: Generation) -> Gate:
    name = "verified backup younger than the proof"
    backup = newest_verified_backup(connection)
    if backup is None:
        return Gate(name, False, "no backup was ever restored and verified")
    detail = f"{backup.name} was restored to {backup.restored_to:%Y-%m-%d %H:%M:%S} UTC"
    passed = generation.proven_at is not None and backup.restored_to > generation.proven_at
    return Gate(name, passed, detail)


def _stored(bucket: Bucket, generation: Generation) -> Iterator[Gate]:
    """The recorded versions exist with the proven bytes, and the manifest says the same."""
    for item in generation.objects:
        if item.table not in TABLES:
            continue
        try:
            found = head(bucket, item.stored)
        except OpsError as error:
            yield Gate("object", False, str(error))
            continue
        if found != item.stored:
            yield Gate("object", False, f"{item.stored.key} is {found}, recorded: {item.stored}")
    try:
        manifest = generation.require_manifest()
        refuse_other_manifest(generation, read_object(bucket, manifest), manifest)
    except OpsError as error:
        yield Gate("manifest", False, str(error))
    else:
        yield Gate("manifest", True, f"{manifest.key} agrees with the ledger")
