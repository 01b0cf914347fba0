"""IAM policies as AWS evaluates them, as far as those of this project go."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
IAM = REPOSITORY / "deploy" / "iam"

ACCOUNT = "123456789012"

KEYS: Mapping[str, str] = {
    "OBJECTS_KEY": "of-the-objects",
    "INSTANCE_KEY": "of-the-instance",
    "DR_KEY": "of-its-copies",
}
"""The names of KMS keys in deploy/iam/kms, and what the tests put there."""

Context = Mapping[str, str]
"""The keys of a request that conditions ask for."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that a request needs leave for; ``context`` is what it alone has to say."""

    name: str
    resource: str
    context: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. Its conditions must all hold for it to count."""

    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: Mapping[str, Mapping[str, tuple[str, ...]]]

    def concerns(self, action: Action, context: Context) -> bool:
        return (
            any(fnmatchcase(action.name.lower(), name.lower()) for name in self.actions)
            and any(fnmatchcase(action.resource, pattern) for pattern in self.resources)
            and all(
                _holds(operator, context.get(key), values)
                for operator, keys in self.conditions.items()
                for key, values in keys.items()
            )
        )


def job_policy(job: str, replacements: Mapping[str, str]) -> list[Statement]:
    """The policy in deploy/iam, its capital names replaced as the operations guide says."""
    text = (IAM / f"{job}.json").read_text(encoding="utf-8")
    for name, value in replacements.items():
        text = text.replace(name, value)
    return statements(json.loads(text)["Statement"])


def role_policy(job: str, replacements: Mapping[str, str]) -> list[Statement]:
    """A job's policy with those of deploy/iam/kms that docs/operations.md puts beside it."""
    named = {**replacements, "ACCOUNT_ID": ACCOUNT, **KEYS}
    policy = job_policy(job, named)
    keys = [s for name in key_policies(policy) for s in job_policy(f"kms/{name}", named)]
    return policy + keys


def key_policies(policy: Sequence[Statement]) -> list[str]:
    """Which files of deploy/iam/kms a role gets where everything has a key of the account's."""
    actions = {action for statement in policy for action in statement.actions}
    names = []
    if "s3:PutObject" in actions:
        names.append("write_objects")
    elif actions & {"s3:GetObject", "s3:GetObjectVersion"}:
        names.append("read_objects")
    if any(a.startswith(("rds:CreateDBSnapshot", "rds:RestoreDBInstance")) for a in actions):
        names.append("snapshots")
    if "rds:CopyDBSnapshot" in actions:
        names.append("copies")
    return names


def statements(raw: Iterable[Mapping[str, object]]) -> list[Statement]:
    return [
        Statement(
            effect=str(statement["Effect"]),
            actions=_strings(statement["Action"]),
            resources=_strings(statement["Resource"]),
            conditions={
                operator: {key: _strings(values) for key, values in keys.items()}
                for operator, keys in _mapping(statement.get("Condition", {})).items()
            },
        )
        for statement in raw
    ]


def is_allowed(policy: Sequence[Statement], action: Action, context: Context | None = None) -> bool:
    """Whether one statement allows it and none denies it."""
    asked = {**(context or {}), **dict(action.context)}
    concerned = [s for s in policy if s.concerns(action, asked)]
    effects = {statement.effect for statement in concerned}
    return effects == {"Allow"}


def unused(policy: Sequence[Statement], used: Set[Action]) -> set[tuple[str, str]]:
    """What a policy allows and nobody needed, as actions with resources.

    What wrote an object may have to decrypt: whether it came in parts is a matter of its size.
    """
    names = {action.name for action in used}
    needless = {"kms:Decrypt"} if "kms:GenerateDataKey" in names else set()
    return {
        (action, resource)
        for statement in policy
        for action in statement.actions
        for resource in statement.resources
        if not any(u.name == action and fnmatchcase(u.resource, resource) for u in used)
        if action not in needless
    }


def is_denied(policy: Sequence[Statement], action: Action, context: Context) -> bool:
    """Whether a statement denies it, whatever others allow."""
    return any(s.effect == "Deny" and s.concerns(action, context) for s in policy)


def _holds(operator: str, value: str | None, wanted: tuple[str, ...]) -> bool:
    name = operator.removesuffix("IfExists")
    if value is None:
        # A negated operator holds for an absent key, as does …IfExists.
        return name != operator or "Not" in name
    match name:
        case "Bool" | "StringEquals":
            return value in wanted
        case "StringNotEquals":
            return value not in wanted
        case "ArnLike" | "StringLike":
            return any(fnmatchcase(value, pattern) for pattern in wanted)
        case "ArnNotLike":
            return not any(fnmatchcase(value, pattern) for pattern in wanted)
        case "NumericLessThan":
            return all(float(value) < float(limit) for limit in wanted)
    raise AssertionError(f"no test evaluates {operator} yet")


def _strings(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else (str(value),)


def _mapping(value: object) -> Mapping[str, Mapping[str, object]]:
    assert isinstance(value, dict)
    return value
