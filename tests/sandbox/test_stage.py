"""A job that fails beside the demo is told by its own words."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ft_ops.errors import OpsError
from ft_ops.sandbox import Sandbox, sandbox
from ft_ops.sandbox.worker import worker


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with sandbox(lambda line: None) as opened:
        for name, value in opened.environment().items():
            monkeypatch.setenv(name, value)
        yield opened


@pytest.mark.chaos
def test_a_job_beside_the_demo_fails_in_its_own_words_and_the_next_one_runs(box: Sandbox) -> None:
    """Without a schema there is nothing to check."""
    with worker() as beside:
        failing, schema = (
            beside.start(job, {}, {}) for job in ("check_partition_coverage", "initial_schema")
        )
        with pytest.raises(OpsError) as failed:
            failing()
        assert schema().seconds > 0
        asked = beside.start("no_such_job", {}, {})
        with pytest.raises(OpsError, match="no_such_job"):
            asked()
    assert failed.value.what == "job check_partition_coverage"
    assert "RESOURCE_INIT" not in failed.value.cause
    assert "apply the migrations (ft-ops migrate run)" in failed.value.cause
