"""The archive's world, for tests of whole deployments."""

from __future__ import annotations

from tests.archive.conftest import beginning, world

__all__ = ["beginning", "world"]
