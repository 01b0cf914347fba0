"""A sensor that asks what never answers leaves the others their threads."""

from __future__ import annotations

import threading
import time

import dagster as dg
import pytest

from ft_ops.orchestration.upkeep import ticks
from ft_ops.orchestration.upkeep.ticks import ending


def test_a_tick_that_hangs_fails_and_so_does_the_next_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = threading.Event()

    @dg.sensor(target="*")
    @ending
    def asks(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        release.wait(10)
        return dg.SkipReason(f"cursor {context.cursor}")

    context = dg.build_sensor_context(cursor="7")
    monkeypatch.setattr(ticks, "TICK_SECONDS", 0.2)
    with pytest.raises(dg.Failure, match=r"sensor asks: no end after 0\.2 seconds") as failed:
        asks(context)
    assert "ft-ops doctor" in str(failed.value.metadata["next step"].value)
    monkeypatch.setattr(ticks, "TICK_SECONDS", 30.0)
    began = time.monotonic()
    with pytest.raises(dg.Failure, match="has not ended yet"):
        asks(context)
    assert time.monotonic() - began < 5
    release.set()
    for _ in range(100):
        try:
            assert asks(context) == dg.SkipReason("cursor 7")
        except dg.Failure:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the tick before has ended, and the next one is still refused")
