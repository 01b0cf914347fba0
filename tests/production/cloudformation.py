"""CloudFormation's templates as cfn-lint reads and judges them.

It is imported when a test asks: each worker of a run would wait for it at its start.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any


def complaints(template: str) -> list[str]:
    """What CloudFormation would not take in a template, in words."""
    from cfnlint import lint

    return [str(match) for match in lint(template, regions=["us-east-1"])]


@cache
def load_template(path: Path) -> dict[str, Any]:
    """A template with its short forms, such as !Sub, in their long ones."""
    from cfnlint.decode import cfn_yaml

    loaded: dict[str, Any] = cfn_yaml.load(str(path))
    return loaded
