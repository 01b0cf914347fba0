"""Each condition of a purge on both sides of its limit, without a server."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ft_ops.archive.hold.holds import LegalHold
from ft_ops.archive.month.catalog import Obstacle, OtherReference
from ft_ops.archive.month.content import TABLES, Column, Content, Table
from ft_ops.archive.month.digest import Digest
from ft_ops.archive.month.generation import ArchivedObject, Generation
from ft_ops.archive.month.states import State
from ft_ops.archive.month.units import RemovalProgress
from ft_ops.archive.purge import gates
from ft_ops.archive.purge.gates import Gate, audit_gates, purge_gates, refreeze_gates
from ft_ops.archive.purge.purge import PurgePlan
from ft_ops.archive.run import ArchiveRules, ArchiveTarget, ClaimedFolder, Limits, Run
from ft_ops.archive.store import presence
from ft_ops.archive.store.manifest import build_manifest
from ft_ops.backups.inventory.verified import VerifiedBackup
from ft_ops.errors import OpsError, Refused
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import StoredObject

PROVEN_AT = datetime(2024, 5, 2, 8, tzinfo=UTC)
NOW = datetime(2024, 6, 1, 8, tzinfo=UTC)
RULES = ArchiveRules(
    retention_years=7,
    purge_enabled=True,
    grace=timedelta(days=7),
    storage_class="DEEP_ARCHIVE",
    lock=None,
    limits=Limits(1, 1, 1),
)
SECOND = timedelta(seconds=1)
CONNECTION = cast(Connection, SimpleNamespace())
BUCKET = cast(Bucket, SimpleNamespace())
MANIFEST = StoredObject("archive/2017/03/1/manifest.json", "m", 3, "cc", "STANDARD")


def stored(name: str) -> StoredObject:
    return StoredObject(f"archive/2017/03/1/{name}.parquet", "v", 10, "ab", "DEEP_ARCHIVE")


GENERATION = Generation(
    month=Month(2017, 3),
    number=1,
    state="frozen",
    origin="database",
    relation=None,
    content=Content(
        tuple(
            Table(name, "public", name, (Column("id", "uuid", True),), ("id",)) for name in TABLES
        )
    ),
    objects=(
        ArchivedObject("content_segments", 0, 5, stored("segments")),
        ArchivedObject("content_tags", 0, 2, stored("tags")),
        ArchivedObject("subjects", 0, 1, stored("subjects")),
        ArchivedObject("proven_segments", 0, 5, stored("proven_segments")),
    ),
    manifest=MANIFEST,
    digests={table: {0: Digest(1, 2, 3)} for table in TABLES},
    sha256=None,
    certificate={"rows": 7},
    purged=RemovalProgress(),
    replaced_by=None,
    leftovers=(),
    as_of=PROVEN_AT,
    archived_at=PROVEN_AT,
    exported_at=PROVEN_AT,
    proven_at=PROVEN_AT,
    frozen_at=PROVEN_AT,
    purged_at=None,
)


@dataclass
class Surroundings:
    """What the gates ask the database and the bucket."""

    holds: list[str] = field(default_factory=list)
    backup: VerifiedBackup | None = field(
        default_factory=lambda: VerifiedBackup("full-1", PROVEN_AT + SECOND, NOW)
    )
    missing: set[str] = field(default_factory=set)
    changed: dict[str, StoredObject] = field(default_factory=dict)
    manifest: bytes = b""
    thaw: str | None = None
    claimed: str = ""
    obstacles: list[Obstacle] = field(default_factory=list)
    references: list[OtherReference] = field(default_factory=list)
    referencing: bool = True
    dependents: list[str] = field(default_factory=list)
    asked_of: list[Month] = field(default_factory=list)
    compared: list[Generation] = field(default_factory=list)
    recorded: bool = True

    def dependents_of(self, connection: Connection, table: int) -> list[str]:
        assert (connection, table) in [(CONNECTION, 1), (CONNECTION, 3)]
        return self.dependents

    def require_folder(self, folder: ClaimedFolder) -> None:
        assert (folder.connection, folder.bucket, folder.root) == (CONNECTION, BUCKET, "archive")
        if self.claimed:
            raise Refused("archive", cause=self.claimed, next_step="Stop it")


@pytest.fixture
def around(monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    around = Surroundings()
    assert GENERATION.digests is not None
    around.manifest = build_manifest(
        GENERATION,
        GENERATION.objects,
        GENERATION.digests,
        {},
        program="archive/verify.py",
        bucket="archive",
    )

    def asked(connection: Connection, answer: Any) -> Any:
        assert connection is CONNECTION
        return answer

    def month_source(connection: Connection, generation: Generation, content: Content) -> str:
        assert (connection, content) == (CONNECTION, GENERATION.content)
        around.compared.append(generation)
        return "the month"

    def other_references(connection: Connection, content: Content) -> list[OtherReference]:
        assert (connection, content) == (CONNECTION, GENERATION.content)
        return around.references

    def has_rows_of(connection: Connection, table: Table, source: str) -> bool:
        assert (connection, source) == (CONNECTION, "the month")
        assert table in [reference.table for reference in around.references]
        return around.referencing

    def holds_on(connection: Connection, month: Month) -> list[str]:
        assert connection is CONNECTION
        around.asked_of.append(month)
        return around.holds

    def open_thaw(connection: Connection, month: Month) -> Any:
        assert connection is CONNECTION
        around.asked_of.append(month)
        return around.thaw and SimpleNamespace(name=around.thaw, state="loading")

    def head(bucket: Bucket, item: StoredObject) -> StoredObject:
        assert bucket is BUCKET
        if item.key in around.missing:
            raise OpsError(item.key, cause="this version is gone", next_step="find out who")
        return around.changed.get(item.key, item)

    def read_object(bucket: Bucket, item: StoredObject) -> bytes:
        assert item == MANIFEST
        return around.manifest

    monkeypatch.setattr(gates, "holds_on", holds_on)
    monkeypatch.setattr(
        gates, "newest_verified_backup", lambda connection: asked(connection, around.backup)
    )
    monkeypatch.setattr(gates, "open_thaw", open_thaw)
    monkeypatch.setattr(gates, "obstacles", lambda connection: asked(connection, around.obstacles))
    monkeypatch.setattr(
        gates, "read_content", lambda connection: asked(connection, GENERATION.content)
    )
    monkeypatch.setattr(gates, "month_source", month_source)
    monkeypatch.setattr(
        gates, "month_table", lambda connection, generation: asked(connection, generation.number)
    )
    monkeypatch.setattr(gates, "dependents", around.dependents_of)
    monkeypatch.setattr(gates, "other_references", other_references)
    monkeypatch.setattr(gates, "has_rows_of", has_rows_of)

    monkeypatch.setattr(gates, "require_folder", around.require_folder)
    monkeypatch.setattr(gates, "is_recorded", lambda run, generation: around.recorded)
    monkeypatch.setattr(presence, "head", head)
    monkeypatch.setattr(presence, "read_object", read_object)
    return around


def run(rules: ArchiveRules, now: datetime) -> Run:
    target = ArchiveTarget(BUCKET, "archive", 1)
    return Run(CONNECTION, "", lambda: target, rules, "run", clock=lambda: now)


def found(
    generation: Generation = GENERATION, rules: ArchiveRules = RULES, now: datetime = NOW
) -> list[Gate]:
    return purge_gates(run(rules, now), generation)


def shut(
    generation: Generation = GENERATION, rules: ArchiveRules = RULES, now: datetime = NOW
) -> dict[str, str]:
    return {
        gate.name: gate.detail for gate in found(generation, rules, now) if gate.passed is False
    }


def test_where_nothing_is_in_the_way_each_gate_says_why(around: Surroundings) -> None:
    assert found() == [
        Gate("enabled", True, "FT_PURGE_ENABLED is true"),
        Gate("still due", True, "due since 2024-04-01"),
        Gate("proven and frozen", True, "2017-03 generation 1 is frozen"),
        Gate("grace", True, "until 2024-05-09 08:00 UTC"),
        Gate("legal holds", True, "none"),
        Gate("thaws and erasures under way", True, "none"),
        Gate(
            "verified backup younger than the proof",
            True,
            "full-1 was restored to 2024-05-02 08:00:01 UTC",
        ),
        Gate("tables of content", True, ", ".join(TABLES)),
        Gate("one database for the archive", True, "no other has claimed it"),
        Gate("record in the bucket", True, "2017-03 generation 1 can be adopted from it"),
        Gate("objects and manifest", True, "all 4 are there, as the ledger says"),
    ]
    assert around.asked_of == [Month(2017, 3), Month(2017, 3)]
    assert around.compared == [GENERATION]


def test_everything_in_the_way_is_told_at_once(around: Surroundings) -> None:
    around.holds, around.backup = ["hold 1", "hold 2"], None
    around.missing = {stored("tags").key}
    unproven = replace(GENERATION, proven_at=None, certificate=None, state="exported")
    rules = replace(RULES, purge_enabled=False, retention_years=8)
    assert {gate.passed for gate in found(unproven, rules)} == {True, False}
    assert shut(unproven, rules) == {
        "enabled": "FT_PURGE_ENABLED is not set to true",
        "still due": "not before 2025-04-01, by FT_RETENTION_YEARS=8",
        "proven and frozen": "2017-03 generation 1 is exported",
        "grace": "there is no proof whose grace could have passed",
        "legal holds": "hold 1; hold 2",
        "verified backup younger than the proof": "no backup was ever restored and verified",
        "objects and manifest": f"{stored('tags').key}: this version is gone. Next: find out who",
    }


@pytest.mark.parametrize(
    ("state", "is_open"),
    [
        ("frozen", True),
        ("purging", True),
        ("proven", False),
        ("freezing", False),
        ("exported", False),
        ("purged", False),
        ("superseded", False),
    ],
)
def test_only_what_is_proven_and_frozen_goes(
    around: Surroundings, state: State, is_open: bool
) -> None:
    gate = shut(replace(GENERATION, state=state))
    assert ("proven and frozen" not in gate) == is_open
    uncertified = replace(GENERATION, state=state, certificate=None)
    assert "proven and frozen" in shut(uncertified)


def test_a_month_is_due_from_the_moment_at_which_its_years_are_over(around: Surroundings) -> None:
    due = datetime(2024, 4, 1, tzinfo=UTC)
    no_grace = replace(RULES, grace=timedelta())
    assert "still due" in shut(GENERATION, no_grace, due - SECOND)
    assert Gate("still due", True, "due since 2024-04-01") in found(GENERATION, no_grace, due)


def test_the_grace_is_over_at_its_last_moment(around: Surroundings) -> None:
    assert shut(now=PROVEN_AT + RULES.grace - SECOND) == {"grace": "until 2024-05-09 08:00 UTC"}
    assert shut(now=PROVEN_AT + RULES.grace) == {}


def test_a_backup_of_the_very_moment_of_the_proof_is_too_old(around: Surroundings) -> None:
    around.backup = VerifiedBackup("full-1", PROVEN_AT, NOW)
    assert shut() == {
        "verified backup younger than the proof": "full-1 was restored to 2024-05-02 08:00:00 UTC"
    }
    around.backup = VerifiedBackup("full-1", PROVEN_AT + timedelta(microseconds=1), NOW)
    assert shut() == {}


def test_a_hold_shuts_the_gate(around: Surroundings) -> None:
    around.holds = ["hold 3 on month 2017-03 (a court asks)"]
    assert shut() == {"legal holds": "hold 3 on month 2017-03 (a court asks)"}


def test_each_object_that_is_gone_or_another_is_named(around: Surroundings) -> None:
    segments, tags = stored("segments"), stored("tags")
    around.missing = {segments.key}
    around.changed = {tags.key: replace(tags, bytes=9)}
    wrong = [gate.detail for gate in found() if gate.name == "objects and manifest"]
    assert wrong == [
        f"{segments.key}: this version is gone. Next: find out who",
        f"{tags.key} is {replace(tags, bytes=9)}, recorded: {tags}",
    ]


@pytest.mark.parametrize("name", ["segments", "subjects", "proven_segments"])
def test_content_and_lists_are_needed_alike(around: Surroundings, name: str) -> None:
    around.missing = {stored(name).key}
    assert set(shut()) == {"objects and manifest"}


def test_a_thaw_or_an_erasure_under_way_shuts_the_gate(around: Surroundings) -> None:
    around.thaw = "thaw 7: 2017-03"
    assert shut() == {"thaws and erasures under way": "thaw 7: 2017-03 is loading"}


def test_what_the_archive_does_not_know_of_the_content_shuts_the_gate(around: Surroundings) -> None:
    assert GENERATION.content is not None
    around.references = [OtherReference("likes_fk", GENERATION.content.tables[0], "it goes too")]
    assert shut() == {"tables of content": "content_segments by likes_fk, it goes too"}
    around.referencing = False
    assert shut() == {}
    around.obstacles = [Obstacle("likes", "it has no key", "give it one")]
    assert shut() == {"tables of content": "likes: it has no key: give it one"}
    around.obstacles, around.dependents = [], ["the view likes_of"]
    told = "the view likes_of: drop it, or let it read archived_content_segments"
    assert shut() == {"tables of content": told}


def test_another_manifest_or_none_shuts_the_gate(around: Surroundings) -> None:
    document = json.loads(around.manifest)
    document["objects"][0]["rows"] = 6
    around.manifest = json.dumps(document).encode()
    assert "the ledger disagree about the objects" in shut()["objects and manifest"]
    assert "names no manifest" in shut(replace(GENERATION, manifest=None))["objects and manifest"]


SECOND_BUCKET = cast(Bucket, SimpleNamespace())


def with_second(
    monkeypatch: pytest.MonkeyPatch, problems: list[str], broken: OpsError | None = None
) -> Run:
    """A run of an archive that has a second copy, of which something may be missing."""

    def open_second() -> Bucket:
        if broken is not None:
            raise broken
        return SECOND_BUCKET

    def listed(bucket: Bucket, generation: Generation) -> str:
        assert (bucket, generation.name) == (SECOND_BUCKET, GENERATION.name)
        return "listed"

    def missing(bucket: Bucket, generation: Generation, there: Any) -> list[str]:
        assert (bucket, generation.name) == (SECOND_BUCKET, GENERATION.name)
        assert there == "listed"
        return problems

    monkeypatch.setattr(gates, "listed", listed)
    monkeypatch.setattr(gates, "missing_from_second", missing)
    target = replace(run(RULES, NOW).target, open_second=open_second)
    return replace(run(RULES, NOW), open_target=lambda: target)


def test_a_second_copy_that_is_whole_opens_the_gate(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = purge_gates(with_second(monkeypatch, []), GENERATION)
    assert found[-1] == Gate("second copy", True, "all 4 are in the second bucket, too")
    assert all(gate.passed is True for gate in found)


def test_what_the_second_copy_lacks_shuts_the_gate_by_name(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = purge_gates(with_second(monkeypatch, ["tags is gone", "links is gone"]), GENERATION)
    assert [gate for gate in found if gate.name == "second copy"] == [
        Gate("second copy", False, "tags is gone"),
        Gate("second copy", False, "links is gone"),
    ]


def test_a_second_bucket_that_can_not_be_reached_shuts_the_gate(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = OpsError("bucket second", cause="it is not there", next_step="make it")
    found = purge_gates(with_second(monkeypatch, [], error), GENERATION)
    assert found[-1] == Gate("second copy", False, str(error))


def test_what_was_thawed_is_removed_again_by_its_old_proof(around: Surroundings) -> None:
    """No grace and no younger backup: those were needed once, and the archive is still whole."""
    around.backup = None
    # Those of one month; the newest says which month that is and what is compared.
    others = [replace(GENERATION, number=n, month=Month(2017, 2)) for n in (1, 2)]
    thawed = [*others, replace(GENERATION, number=3)]

    def refused(rules: ArchiveRules = RULES) -> list[str]:
        gates = refreeze_gates(run(rules, NOW), thawed)
        return [gate.name for gate in gates if not gate.passed]

    assert refused() == []
    assert (around.asked_of, around.compared) == ([Month(2017, 3)], [thawed[-1]])
    assert len(refreeze_gates(run(RULES, NOW), thawed)) == 14
    thawed[0] = replace(others[0], state="superseded")
    assert refused() == ["archive stands"]
    thawed[0] = others[0]
    assert refused(replace(RULES, purge_enabled=False, retention_years=8)) == [
        "enabled",
        "still due",
    ]
    around.holds, around.missing = ["hold 1"], {stored("tags").key}
    around.claimed = "a copy has claimed it"
    assert refused() == [
        "legal holds",
        "one database for the archive",
        *["objects and manifest"] * 3,
    ]


def test_a_month_of_the_audit_log_passes_those_gates_that_it_has(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no thaws and no content of other tables; who holds rows of it, its caller knows."""
    of_content = {"thaws and erasures under way", "tables of content", "legal holds"}
    here = with_second(monkeypatch, [])
    none = Gate("legal holds", True, "none")
    assert audit_gates(here, GENERATION, []) == [
        none if gate.name == "legal holds" else gate
        for gate in purge_gates(here, GENERATION)
        if gate.name not in of_content - {"legal holds"}
    ]
    holds = cast(list[LegalHold], ["hold 1", "hold 2"])
    assert Gate("legal holds", False, "hold 1; hold 2") in audit_gates(here, GENERATION, holds)
    around.backup, around.claimed = None, "a copy has claimed it"
    around.missing = {stored("tags").key}
    there = with_second(monkeypatch, ["tags is gone"])
    late = replace(there, rules=replace(RULES, purge_enabled=False, retention_years=8))
    unproven = replace(GENERATION, certificate=None)
    assert [gate for gate in audit_gates(late, unproven, []) if not gate.passed] == [
        gate for gate in purge_gates(late, unproven) if not gate.passed
    ]
    begun = replace(there, clock=lambda: PROVEN_AT)
    assert "grace" in {g.name for g in audit_gates(begun, GENERATION, []) if not g.passed}


def test_another_database_on_the_same_archive_shuts_the_gate(around: Surroundings) -> None:
    around.claimed = "a copy has claimed it"
    assert shut() == {"one database for the archive": "a copy has claimed it. Stop it"}


def test_a_record_that_can_not_be_written_any_more_shuts_the_gate(around: Surroundings) -> None:
    around.recorded = False
    assert shut() == {}, "the purge writes it first"
    name, begun = "record in the bucket", replace(GENERATION, state="purging")
    [gate] = [gate for gate in found(begun) if gate.name == name]
    assert not gate.passed


@pytest.mark.parametrize(
    ("passed", "changed", "state", "decision"),
    [
        (True, (), "frozen", "purge"),
        (True, ("likes is new",), "frozen", "export again"),
        (False, (), "frozen", "refuse"),
        (False, ("likes is new",), "frozen", "refuse"),
        (True, (), "purging", "purge"),
        (True, ("likes is new",), "purging", "put back"),
        (False, (), "purging", "put back"),
    ],
)
def test_what_is_in_the_way_of_a_purge_that_was_begun_puts_its_rows_back(
    passed: bool, changed: tuple[str, ...], state: State, decision: str
) -> None:
    gates = (Gate("enabled", True, "it is"), Gate("grace", passed, "until May"))
    plan = PurgePlan(replace(GENERATION, state=state), gates, changed)
    assert plan.decision == decision
    assert plan.refusals == ([] if passed else ["grace: until May"])
    assert plan.in_the_way == "; ".join([*plan.refusals, *changed])
