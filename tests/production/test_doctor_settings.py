"""The doctor looks at the settings first: with a wrong one nothing else can be judged."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from ft_ops.doctor import examine

NOW = datetime.now(UTC)


def test_an_invalid_setting_is_the_only_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FT_RETENTION_YEARS", "none")
    (finding,) = examine(NOW)
    assert (finding.name, finding.state) == ("settings", "failed")
    assert "FT_RETENTION_YEARS" in finding.detail


def test_a_misspelt_setting_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("FT_")]:
        monkeypatch.delenv(name)
    assert next(examine(NOW)).state == "ok"
    monkeypatch.setenv("FT_PURGE_ENABELD", "true")
    finding = next(examine(NOW))
    assert (finding.name, finding.state) == ("settings", "limited")
    assert "FT_PURGE_ENABELD: nothing reads this" in finding.detail
