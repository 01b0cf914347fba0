"""Every FT_* variable as a page: what it is, what it may be, what it is without being set."""

from __future__ import annotations

import textwrap
from collections.abc import Collection
from typing import Final

from pydantic.fields import FieldInfo

from ft_ops.settings import Settings, accepted

_HEAD: Final = """\
# Settings

Every FT_* variable, with its default and what it may be. An empty one is as good as none.
`ft-ops settings` prints this page; `ft-ops doctor` says whether all that are set are valid. AWS
settings are boto3's own.

| variable | default | accepted | meaning |
|---|---|---|---|
"""


def settings_page() -> str:
    """The page docs/settings.md, from the settings' own fields."""
    rows = [
        f"| `FT_{name.upper()}` | {_shown(field)} | {accepted(field)} | {field.description} |"
        for name, field in sorted(Settings.model_fields.items())
    ]
    return _HEAD + "\n".join(rows) + "\n"


_ENVIRONMENT_HEAD: Final = """\
# Every FT_* variable, with its default. `ft-ops settings --environment` prints this file.
#
# Copy it, remove the # before a variable, and set its value. compose.yaml reads ft-ops.env beside
# it, systemd reads /etc/ft-ops/ft-ops.env, Kubernetes a ConfigMap made of it, and ECS a copy in S3.
# What is marked as a secret belongs into the deployment's secrets instead.
"""


def environment_file() -> str:
    """The file deploy/ft-ops.env.example: each variable as a comment, before it what it means."""
    entries = []
    for name, field in sorted(Settings.model_fields.items()):
        secret = "Secret. " if "Secret" in str(field.annotation) else ""
        meaning = textwrap.fill(
            f"{secret}{field.description} ({accepted(field)})",
            width=100,
            initial_indent="# ",
            subsequent_indent="# ",
            break_on_hyphens=False,
            break_long_words=False,
        )
        entries.append(f"\n{meaning}\n#FT_{name.upper()}={_shown(field)}\n")
    return _ENVIRONMENT_HEAD + "".join(entries)


def _shown(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None or (isinstance(value, Collection) and not value):
        return ""
    if isinstance(value, frozenset):
        return ",".join(sorted(value))
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
