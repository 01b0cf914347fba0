"""Every FT_* variable as a page: what it is, what it may be, what it is without being set."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

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
        f"| `FT_{name.upper()}` | {_shown(field.default)} | {accepted(field)} |"
        f" {field.description} |"
        for name, field in sorted(Settings.model_fields.items())
    ]
    return _HEAD + "\n".join(rows) + "\n"


def _shown(value: object) -> str:
    if value is None or (isinstance(value, Collection) and not value):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
