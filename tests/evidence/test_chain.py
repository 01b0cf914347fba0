"""The chain in a real bucket: every act once, in any order of events; nothing on top of damage."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import boto3
import dagster as dg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from psycopg.types.json import Jsonb

from ft_ops.archive.claims.claim import claim
from ft_ops.archive.run import ClaimedFolder
from ft_ops.definitions import defs
from ft_ops.errors import OpsError, Refused
from ft_ops.evidence import Act, Chain, acts_since
from ft_ops.evidence import chain as module
from ft_ops.evidence.heads import note_head, noted_heads
from ft_ops.evidence.signers import open_kms
from ft_ops.evidence.verify import (
    FORMER_HEAD,
    HEAD,
    ORDER,
    Head,
    canonical,
    link_name,
    read_key,
    verify_chain,
)
from ft_ops.months import Month
from ft_ops.partitions import ensure_months
from ft_ops.pg.audit import SYSTEM_USER, write_audit
from ft_ops.pg.connect import Connection, connected
from ft_ops.s3.bucket import Bucket
from ft_ops.s3.objects import hide, objects, read_current, replace_current
from tests.fixtures.postgres import Database

NOW = datetime(2026, 11, 26, 6, 0, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture
def chain(bucket: Bucket) -> Chain:
    return Chain(bucket, "evidence", KEY)


def act(connection: Connection, number: int) -> None:
    write_audit(connection, "test.act", "tests", {"number": number})


def append(chain: Chain, connection: Connection) -> int:
    """Chain what is new; the number of links."""
    head = chain.append(lambda since: acts_since(connection, since), NOW)
    return head.number if head else 0


def chained(chain: Chain) -> list[object]:
    """The numbers of the acts in a chain that must be whole."""
    verdict = chain.read()
    assert verdict.problems == ()
    return [entry["details"]["number"] for entry in verdict.entries]  # type: ignore[index]


def test_each_act_is_chained_once(chain: Chain, connection: Connection) -> None:
    assert append(chain, connection) == 0
    act(connection, 1)
    act(connection, 2)
    assert append(chain, connection) == 1
    assert append(chain, connection) == 1
    act(connection, 3)
    assert append(chain, connection) == 2
    assert chained(chain) == [1, 2, 3]


def test_a_chain_that_was_cut_back_and_signed_anew_is_found_by_its_noted_heads(
    chain: Chain, connection: Connection
) -> None:
    for number in (1, 2):
        act(connection, number)
        append(chain, connection)
        head = chain.read().head
        assert head is not None
        note_head(connection, chain.address, head, noted_heads(connection, chain.address, NOW))
    noted = noted_heads(connection, chain.address, NOW)
    assert [h.number for h in noted] == [2, 1]
    # A note is no act.
    head = chain.append(lambda since: acts_since(connection, since), NOW, noted=noted)
    assert head == noted[0]
    # He who holds the key writes another second link, and its head.
    other = Chain(chain.bucket, "other", KEY)
    act(connection, 3)
    other.append(lambda since: acts_since(connection, since)[:1], NOW)
    other.append(lambda since: acts_since(connection, since)[-1:], NOW)
    for name in (link_name(2), HEAD):
        content = read_current(chain.bucket, f"other/{name}")
        replace_current(chain.bucket, f"evidence/{name}", content)
    with pytest.raises(OpsError, match="is not the link that was noted as the head"):
        chain.append(lambda since: acts_since(connection, since), NOW, noted=noted)
    # Or only takes it away.
    hide(chain.bucket, f"evidence/{link_name(2)}")
    with pytest.raises(OpsError, match="is missing, and was noted as the head"):
        chain.append(lambda since: acts_since(connection, since), NOW, noted=noted)
    assert noted_heads(connection, other.address, NOW) == []


def test_acts_by_others_are_no_evidence(chain: Chain, connection: Connection) -> None:
    user = uuid4()
    connection.execute(
        "INSERT INTO users (id, clerk_id, email, display_name) VALUES (%s, 'a', 'a@b.c', 'a')",
        [user],
    )
    connection.execute("INSERT INTO audit_log (user_id, action) VALUES (%s, 'forged')", [user])
    assert append(chain, connection) == 0


def test_an_act_that_is_committed_late_is_chained(
    chain: Chain, connection: Connection, database: Database
) -> None:
    """Its row bears the time at which its transaction began."""
    with connected(database.url, application="tests") as slow, slow.transaction():
        act(slow, 1)
        act(connection, 2)
        append(chain, connection)
    append(chain, connection)
    assert chained(chain) == [2, 1]


@pytest.mark.parametrize("dated", ["-9 days", "5 years", "-9 years"])
def test_an_act_is_chained_whatever_its_date_is(
    chain: Chain, connection: Connection, dated: str
) -> None:
    """A clock that was wrong, or a transaction that was open for days."""
    ensure_months(connection, "audit_log", [Month.of(NOW.date())])
    act(connection, 1)
    append(chain, connection)
    query = (
        "INSERT INTO audit_log (user_id, action, new_values, created_at) VALUES (%s, 'a', %s, %s)"
    )
    with connection.transaction():
        write_audit(connection, "test.act", "tests", {"number": 2})
        row = connection.execute(
            "SELECT created_at + %s::interval FROM audit_log ORDER BY created_at DESC LIMIT 1",
            [dated],
        ).fetchone()
    assert row is not None
    ensure_months(connection, "audit_log", [Month.of(row[0].date())])
    connection.execute(query, [SYSTEM_USER, Jsonb({"number": 3}), row[0]])
    append(chain, connection)
    append(chain, connection)
    assert sorted(map(str, chained(chain))) == ["1", "2", "3"]


def test_what_an_act_wrote_down_is_signed_as_it_is(chain: Chain, connection: Connection) -> None:
    """What is no object, numbers that no float holds, and what no program would read."""
    deep = "[" * 3_000 + "]" * 3_000
    query = "INSERT INTO audit_log (user_id, action, new_values) VALUES (%s, 'a', %s::jsonb)"
    dollars = '{"dollars": 12345678901234567.89, "cents": 0.00001}'
    for text in ('[1, "a"]', "7", "null", dollars, f'{{"deep": {deep}}}'):
        connection.execute(query, [SYSTEM_USER, text])
    append(chain, connection)
    verdict = chain.read()
    assert verdict.problems == ()
    details = [entry["details"] for entry in verdict.entries]
    for expected in (
        {"value": [1, "a"]},
        {"value": 7},
        {"dollars": "12345678901234567.89", "cents": 0.00001},
    ):
        assert expected in details
    assert append(chain, connection) == 1


def test_many_acts_are_several_links(
    chain: Chain, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ENTRIES", 2)
    for number in range(5):
        act(connection, number)
    assert append(chain, connection) == 3
    assert chained(chain) == [0, 1, 2, 3, 4]


def test_the_slower_of_two_runs_is_refused_and_loses_nothing(
    chain: Chain, connection: Connection
) -> None:
    act(connection, 1)

    def while_another_writes(since: datetime) -> list[Act]:
        found = acts_since(connection, since)
        append(chain, connection)
        return found

    with pytest.raises(Refused):
        chain.append(while_another_writes, NOW + timedelta(seconds=1))
    assert append(chain, connection) == 1
    assert chained(chain) == [1]


def _hide_first(chain: Chain) -> None:
    hide(chain.bucket, f"evidence/{link_name(1)}")


def _edit_first(chain: Chain) -> None:
    key = f"evidence/{link_name(1)}"
    replace_current(chain.bucket, key, read_current(chain.bucket, key).replace(b"test", b"best"))


def _hide_head(chain: Chain) -> None:
    hide(chain.bucket, f"evidence/{HEAD}")


@pytest.mark.parametrize("damage", [_hide_first, _edit_first, _hide_head])
def test_nothing_is_added_to_a_chain_that_somebody_has_changed(
    chain: Chain, connection: Connection, damage: Callable[[Chain], None]
) -> None:
    for number in (1, 2):
        act(connection, number)
        append(chain, connection)
    damage(chain)
    act(connection, 3)
    with pytest.raises(OpsError, match=r"chain of evidence s3://.*somebody changed it"):
        append(chain, connection)
    assert not list(objects(chain.bucket, f"evidence/{link_name(3)}"))


def test_another_key_is_refused(chain: Chain, connection: Connection) -> None:
    act(connection, 1)
    append(chain, connection)
    other = Chain(chain.bucket, chain.prefix, Ed25519PrivateKey.generate())
    with pytest.raises(OpsError, match="FT_EVIDENCE_KEY_FILE must be the key"):
        append(other, connection)


def test_the_program_and_the_public_key_lie_beside_the_links(
    chain: Chain, connection: Connection
) -> None:
    act(connection, 1)
    append(chain, connection)
    names = {found.key for found in objects(chain.bucket, "evidence/program/")}
    assert "evidence/program/verify.py" in names
    [key] = names - {"evidence/program/verify.py"}
    assert read_current(chain.bucket, key).startswith(b"-----BEGIN PUBLIC KEY-----")
    # What an earlier version laid there, or somebody who would like to be found whole.
    for name in names:
        whole = read_current(chain.bucket, name)
        replace_current(chain.bucket, name, b"print('whole')")
        append(chain, connection)
        assert read_current(chain.bucket, name) == whole


@pytest.fixture
def deployed(
    database: Database, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The environment of a deployment, and where its key is to be."""
    monkeypatch.setenv("FT_DATABASE_URL", database.url)
    monkeypatch.setenv("FT_ARCHIVE_BUCKET", bucket.name)
    monkeypatch.setenv("FT_EVIDENCE_KEY_FILE", str(tmp_path / "key.pem"))
    return tmp_path / "key.pem"


def run() -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs.resolve_job_def("chain_evidence")
        return job.execute_in_process(instance=instance, raise_on_error=False)


def outcomes(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {found.check_name: found.passed for found in result.get_asset_check_evaluations()}


def test_without_a_key_and_targets_a_run_chains_nothing_and_alarms_nobody(
    deployed: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FT_EVIDENCE_KEY_FILE")
    result = run()
    assert result.success
    assert all(outcomes(result).values())
    assert not list(objects(bucket, ""))


def test_a_missing_key_fails_with_the_way_to_make_one(deployed: Path) -> None:
    result = run()
    assert not result.success
    assert "openssl genpkey -algorithm ed25519" in str(
        result.failure_data_for_node("evidence_chain")
    )


def test_a_copy_of_the_database_adds_nothing_to_the_chain(
    deployed: Path, connection: Connection, bucket: Bucket
) -> None:
    """It knows the archive's last claim, and has another identity than who made that."""
    deployed.write_bytes(
        KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    claim(ClaimedFolder(connection, bucket, "archive"), "test")
    act(connection, 1)
    assert run().success
    links = {found.key for found in objects(bucket, "evidence/")}
    connection.execute("UPDATE ops.records_claims SET database_oid = 1")
    act(connection, 2)
    failed = run()
    assert not failed.success
    assert "it is a copy of the one that" in str(failed.failure_data_for_node("evidence_chain"))
    assert {found.key for found in objects(bucket, "evidence/")} == links


@pytest.mark.parametrize(
    ("recovery_seconds", "loss_seconds", "met"),
    [(60.0, 60.0, (True, True)), (61.0, 60.0, (False, True)), (60.0, 61.0, (True, False))],
)
def test_what_the_newest_drill_measured_is_held_against_the_targets(
    deployed: Path,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    recovery_seconds: float,
    loss_seconds: float,
    met: tuple[bool, bool],
) -> None:
    deployed.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    monkeypatch.setenv("FT_RTO_MINUTES", "1")
    monkeypatch.setenv("FT_RPO_MINUTES", "1")
    measured = (found for name, found in outcomes(run()).items() if name.startswith("recovery"))
    assert set(measured) == {False}, "nothing was measured yet"
    write_audit(
        connection,
        "backup_verified",
        "restore_drills",
        {"drill": 1, "recovery_seconds": recovery_seconds, "loss_seconds": loss_seconds},
    )
    result = run()
    assert result.success
    assert outcomes(result) == {
        "audit_log_matches_chain": True,
        "recovery_time_within_target": met[0],
        "recovery_point_within_target": met[1],
    }
    [made] = result.asset_materializations_for_node("evidence_chain")
    assert made.metadata["links"].value == 1


def test_a_measurement_of_last_week_is_none(
    deployed: Path, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FT_EVIDENCE_KEY_FILE")
    monkeypatch.setenv("FT_RTO_MINUTES", "1")
    write_audit(
        connection, "backup_verified", "restore_drills", {"drill": 1, "recovery_seconds": 5.0}
    )
    assert outcomes(run())["recovery_time_within_target"]
    monkeypatch.setattr(
        "ft_ops.evidence.assets.utc_now", lambda: datetime.now(UTC) + timedelta(days=8)
    )
    assert not outcomes(run())["recovery_time_within_target"]


def kms_key(spec: str = "ECC_NIST_P256") -> str:
    made = boto3.client("kms").create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")
    return str(made["KeyMetadata"]["KeyId"])


def test_a_key_of_kms_signs_a_chain_that_is_verified_without_kms(
    bucket: Bucket, connection: Connection, tmp_path: Path
) -> None:
    chain = Chain(bucket, "evidence", open_kms(kms_key(), boto3.client("kms")))
    for number in range(1, 6):
        act(connection, number)
        assert append(chain, connection) == number
    assert chained(chain) == [1, 2, 3, 4, 5]
    for found in objects(bucket, "evidence/"):
        (tmp_path / Path(found.key).name).write_bytes(read_current(bucket, found.key))
    (key,) = tmp_path.glob("*.pem")
    key = key.rename(tmp_path.with_suffix(".pem"))
    program = (tmp_path / "verify.py").rename(tmp_path.with_suffix(".py"))

    def verified() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, program, tmp_path, key], capture_output=True, check=False, text=True
        )

    assert verified().stdout.startswith("whole: 5 entries")
    name = tmp_path / link_name(3)
    whole = name.read_bytes()
    for place in range(0, len(whole), 7):
        name.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        files = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
        assert verify_chain(files, [read_key(key)]).problems, place
    assert verified().returncode == 1
    # The other signature that verifies for the same document is another byte all the same.
    document = json.loads(whole)
    r, s = decode_dss_signature(bytes.fromhex(document["signature"]))
    document["signature"] = encode_dss_signature(r, ORDER - s).hex()
    files[link_name(3)] = canonical(document)
    assert (
        f"the signature of {link_name(3)} is wrong" in verify_chain(files, [read_key(key)]).problems
    )


def test_a_chain_goes_on_under_another_key_and_never_back_under_the_former(
    bucket: Bucket, connection: Connection
) -> None:
    first = Chain(bucket, "evidence", KEY)
    act(connection, 1)
    append(first, connection)
    second = open_kms(kms_key(), boto3.client("kms"))
    act(connection, 2)
    with pytest.raises(OpsError, match="FT_EVIDENCE_FORMER_KEYS names the public half"):
        append(Chain(bucket, "evidence", second), connection)
    rotated = Chain(bucket, "evidence", second, (KEY.public_key(),))
    former = first.read().head
    assert append(rotated, connection) == 2
    assert chained(rotated) == [1, 2]
    # Whoever still has the former key can't go on with it.
    act(connection, 3)
    acts = acts_since(connection, NOW - timedelta(days=9999))
    first._add(rotated.read().head, acts[-1:], NOW)
    (problem,) = rotated.read().problems
    assert problem == f"{link_name(3)} is signed by a key that a later one has replaced"
    # Nor cut the chain back to its own time: the auditor's program and the noted heads tell.
    newest = Head(2, hashlib.sha256(read_current(bucket, f"evidence/{link_name(2)}")).hexdigest())
    for number in (2, 3):
        hide(bucket, f"evidence/{link_name(number)}")
    assert former is not None
    replace_current(bucket, f"evidence/{HEAD}", first._head(former, NOW))
    assert rotated.read().problems == (FORMER_HEAD,)
    with pytest.raises(OpsError, match="is missing, and was noted as the head"):
        rotated.append(lambda since: acts_since(connection, since), NOW, noted=[newest])


def test_a_key_of_kms_that_is_none_or_of_another_kind_is_named(bucket: Bucket) -> None:
    client = boto3.client("kms")
    with pytest.raises(OpsError, match="FT_EVIDENCE_KMS_KEY nobody"):
        open_kms("nobody", client)
    with pytest.raises(OpsError, match="it is no ECC_NIST_P256 key"):
        open_kms(kms_key("ECC_NIST_P384"), client)


def test_a_key_of_kms_is_enough_for_a_run(
    deployed: Path, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FT_EVIDENCE_KEY_FILE")
    monkeypatch.setenv("FT_EVIDENCE_KMS_KEY", kms_key())
    act(connection, 1)
    (event,) = run().get_asset_materialization_events()
    assert event.step_materialization_data.materialization.metadata["links"].value == 1
