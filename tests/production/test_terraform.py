"""The Terraform module makes what the CloudFormation template and deploy/iam make."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import hcl2
import pytest

from ft_ops.settings import Settings
from tests.production.cloudformation import load_template
from tests.production.policies import (
    ACCOUNT,
    IAM,
    KEYS,
    REPOSITORY,
    job_policy,
    key_policies,
    statements,
)

pytestmark = pytest.mark.xdist_group("cfn-lint")

MODULE = REPOSITORY / "deploy" / "terraform"
FILES = sorted(MODULE.rglob("*.tf"))
TEMPLATE = REPOSITORY / "deploy" / "aws" / "bucket.yaml"
NAMES = {
    "ARCHIVE_BUCKET": "familytales-archive",
    "ARCHIVE_PREFIX": "archive",
    "BACKUP_BUCKET": "familytales-backups",
    "BACKUP_PREFIX": "barman",
    "INVENTORY_BUCKET": "familytales-inventories",
    "STAGING_BUCKET": "familytales-masked",
    "INVENTORY_PREFIX": "media",
    "REPLICA_BUCKET": "familytales-archive-second",
    "DR_REGION": "eu-west-1",
    "RDS_INSTANCE": "familytales",
}
needs_terraform = pytest.mark.skipif(not shutil.which("terraform"), reason="needs terraform")


def plain(value: Any) -> Any:
    """Text without the quotes and marks that the parser leaves."""
    if isinstance(value, dict):
        return {
            plain(key): plain(inner)
            for key, inner in value.items()
            if key not in {"__is_block__", "__comments__", "__inline_comments__"}
        }
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value.strip('"') if isinstance(value, str) else value


@cache
def parsed(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = plain(hcl2.loads(path.read_text(encoding="utf-8")))
    return read


def bucket_resource(kind: str) -> dict[str, Any]:
    found = [r[kind] for r in parsed(MODULE / "bucket" / "main.tf")["resource"] if kind in r]
    resource: dict[str, Any] = found[0]["this"]
    return resource


def variables(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        name: said
        for variable in parsed(folder / "variables.tf")["variable"]
        for name, said in variable.items()
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(MODULE)))
def test_each_file_is_terraforms_and_asks_for_nothing_that_is_not_said(path: Path) -> None:
    assert parsed(path)
    asked = set(re.findall(r"\bvar\.(\w+)", path.read_text(encoding="utf-8")))
    assert asked <= variables(path.parent).keys()


def test_each_module_is_given_what_it_wants_and_nothing_else() -> None:
    calls = {
        name: call
        for path in MODULE.glob("*.tf")
        for module in parsed(path).get("module", [])
        for name, call in module.items()
    }
    assert set(calls) == {"archive", "backups", "policies"}
    for name, call in calls.items():
        wanted = variables(MODULE / call["source"])
        given = call.keys() - {"source"}
        assert given <= wanted.keys(), name
        assert {v for v, said in wanted.items() if "default" not in said} <= given, name


def test_a_buckets_policy_is_that_of_the_template() -> None:
    text = (MODULE / "bucket" / "policy.json.tftpl").read_text(encoding="utf-8")
    roles = ["*/familytales-a", "*/familytales-b"]
    values = {
        "partition": "aws",
        "bucket": "familytales-archive",
        "account": ACCOUNT,
        "deleting_roles": json.dumps(roles),
    }
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    theirs = load_template(TEMPLATE)["Resources"]["BucketPolicy"]["Properties"]["PolicyDocument"]
    resolved = (
        json.dumps(theirs)
        .replace("${AWS::Partition}", "aws")
        .replace("${BucketName}", "familytales-archive")
        .replace('{"Ref": "AWS::AccountId"}', json.dumps(ACCOUNT))
        .replace('{"Ref": "DeletingRoles"}', json.dumps(roles))
    )
    resolved = re.sub(r'\{"Fn::Sub": ("[^"]*")\}', r"\1", resolved)
    assert statements(json.loads(text)["Statement"]) == statements(
        json.loads(resolved)["Statement"]
    )


def test_a_bucket_is_as_the_template_makes_it() -> None:
    theirs = load_template(TEMPLATE)["Resources"]["Bucket"]["Properties"]
    bucket = bucket_resource("aws_s3_bucket")
    assert bucket["force_destroy"] is False
    assert bucket["lifecycle"] == [{"prevent_destroy": True}]
    (versioning,) = bucket_resource("aws_s3_bucket_versioning")["versioning_configuration"]
    assert versioning["status"] == theirs["VersioningConfiguration"]["Status"]
    access = bucket_resource("aws_s3_bucket_public_access_block")
    for name, value in theirs["PublicAccessBlockConfiguration"].items():
        assert access[re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()] is value
    (rule,) = bucket_resource("aws_s3_bucket_ownership_controls")["rule"]
    assert rule["object_ownership"] == theirs["OwnershipControls"]["Rules"][0]["ObjectOwnership"]
    lifecycle = bucket_resource("aws_s3_bucket_lifecycle_configuration")
    uploads, _ = theirs["LifecycleConfiguration"]["Rules"]
    (rule,) = lifecycle["rule"]
    assert rule["abort_incomplete_multipart_upload"] == [
        {"days_after_initiation": uploads["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]}
    ]
    # The archive's bucket keeps every version: nothing but the default is given for it.
    calls = {name: c for m in parsed(MODULE / "buckets.tf")["module"] for name, c in m.items()}
    assert "deleted_version_days" not in calls["archive"]
    assert variables(MODULE / "bucket")["deleted_version_days"]["default"] == 0
    assert (calls["archive"]["object_lock"], calls["backups"]["object_lock"]) == (True, False)


def test_the_roles_that_may_delete_are_those_of_the_template() -> None:
    text = (MODULE / "buckets.tf").read_text(encoding="utf-8")
    archive, backups = (
        re.findall(r'"(\w+)"', jobs) for jobs in re.findall(r"for job in \[(.*?)\] :", text)
    )
    default = load_template(TEMPLATE)["Parameters"]["DeletingRoles"]["Default"]
    assert [f"*/familytales-{job}" for job in archive] == default.split(",")
    said = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    assert f"DeletingRoles='{','.join(f'*/familytales-{job}' for job in backups)}'" in said


def test_defaults_are_those_of_the_settings() -> None:
    said = variables(MODULE)
    for name in ("archive_prefix", "backup_prefix"):
        assert said[name]["default"] == Settings.model_fields[name].default


def render(folder: Path, **given: str) -> dict[str, str]:
    """What Terraform makes of the policies; it needs neither a provider nor a network."""
    target = folder / "deploy"
    if not target.exists():
        shutil.copytree(REPOSITORY / "deploy" / "iam", target / "iam")
        shutil.copytree(MODULE / "policies", target / "terraform" / "policies")
        (folder / "none.rc").touch()
    here = target / "terraform" / "policies"
    environment = {
        **os.environ,
        "TF_CLI_CONFIG_FILE": str(folder / "none.rc"),
        "CHECKPOINT_DISABLE": "1",
    }

    def terraform(*arguments: str) -> str:
        done = subprocess.run(
            ["terraform", *arguments],
            cwd=here,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    terraform("init", "-no-color")
    settings = [f"-var={name}={value}" for name, value in given.items()]
    terraform("apply", "-no-color", "-auto-approve", *settings)
    documents: dict[str, str] = json.loads(terraform("output", "-json"))["documents"]["value"]
    return documents


@needs_terraform
@pytest.mark.parametrize("provider", ["barman", "rds"])
def test_terraform_makes_the_policies_of_deploy_iam(provider: str, tmp_path: Path) -> None:
    on_rds = {"rds_instance": NAMES["RDS_INSTANCE"], "dr_region": NAMES["DR_REGION"]}
    names = {name: value for name, value in NAMES.items() if name.lower() not in on_rds}
    made = render(
        tmp_path,
        account=ACCOUNT,
        **{name.lower(): value for name, value in names.items()},
        **{name.lower(): value for name, value in KEYS.items()},
        evidence_key="of-the-chain",
        **(on_rds if provider == "rds" else {}),
    )
    for job in sorted(path.stem for path in IAM.glob("*.json")):
        theirs = (
            f"rds/{job}" if provider == "rds" and (IAM / "rds" / f"{job}.json").exists() else job
        )
        every = {**NAMES, **KEYS, "ACCOUNT_ID": ACCOUNT}
        policy = job_policy(theirs, every)
        assert statements(json.loads(made.pop(job))["Statement"]) == policy
        for key in key_policies(policy):
            key_policy = job_policy(f"kms/{key}", every)
            assert statements(json.loads(made.pop(f"{key}/{job}"))["Statement"]) == key_policy
    for job in sorted(path.stem for path in (IAM / "replica").glob("*.json")):
        policy = job_policy(f"replica/{job}", {**NAMES, "ACCOUNT_ID": ACCOUNT})
        assert statements(json.loads(made.pop(f"replica/{job}"))["Statement"]) == policy
    signing = job_policy(
        "kms/sign_evidence", {"ACCOUNT_ID": ACCOUNT, "EVIDENCE_KEY": "of-the-chain"}
    )
    assert statements(json.loads(made.pop("sign_evidence/chain_evidence"))["Statement"]) == signing
    assert made == {}


@needs_terraform
def test_what_a_deployment_has_not_gets_no_policy(tmp_path: Path) -> None:
    made = render(
        tmp_path,
        account=ACCOUNT,
        archive_bucket="familytales-archive",
        archive_prefix="archive",
        backup_bucket="familytales-backups",
        backup_prefix="barman",
    )
    assert {"recompute_storage", "check_archive_replica", "copy_archive_to_replica"}.isdisjoint(
        made
    )
    assert not any("/" in name for name in made)
    assert not re.search(r"\b(?:[A-Z]+_)+[A-Z]+\b", "".join(made.values()))


def test_what_s3_copies_is_what_the_template_has_it_copy() -> None:
    theirs = load_template(TEMPLATE)["Resources"]
    configuration = theirs["Bucket"]["Properties"]["ReplicationConfiguration"]["Fn::If"][1]
    prefixes = {
        rule["Id"]: rule["Filter"]["Prefix"]["Fn::Sub"].replace(
            "ArchivePrefix", "var.archive_prefix"
        )
        for rule in configuration["Rules"]
    }
    text = (MODULE / "buckets.tf").read_text(encoding="utf-8")
    assert dict(re.findall(r'^    (\w+) += "(\$\{.*/)"$', text, flags=re.MULTILINE)) == prefixes
    policy = theirs["ReplicationRole"]["Properties"]["Policies"][0]["PolicyDocument"]
    allowed = {action for one in policy["Statement"] for action in one["Action"]}
    replication = (MODULE / "bucket" / "replication.tf").read_text(encoding="utf-8")
    assert set(re.findall(r'"(s3:\w+)"', replication)) == allowed
    assert "ReplicateDelete" not in replication


@needs_terraform
def test_terraform_would_format_nothing_otherwise(tmp_path: Path) -> None:
    (tmp_path / "none.rc").touch()
    subprocess.run(
        ["terraform", "fmt", "-check", "-recursive", str(MODULE)],
        env={**os.environ, "TF_CLI_CONFIG_FILE": str(tmp_path / "none.rc")},
        check=True,
        capture_output=True,
    )
