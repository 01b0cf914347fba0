"""Sensors that are stopped, silent, or whose last look failed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg

from ft_ops.orchestration.internals import (
    InstigatorState,
    InstigatorTick,
    InstigatorType,
    TickStatus,
)
from ft_ops.standing import stale_since

_SHORTEST_SILENCE: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class BrokenSensor:
    """A sensor that does not do its work. ``since`` is its last tick, None when it had none."""

    sensor: str
    why: str
    since: datetime | None


def broken_sensors(
    instance: dg.DagsterInstance,
    sensors: Iterable[dg.SensorDefinition],
    repository_selector_id: str,
    now: datetime,
) -> list[BrokenSensor]:
    """What is wrong with each sensor that is meant to run."""
    states = {
        state.name: state
        for state in instance.all_instigator_state(
            repository_selector_id=repository_selector_id, instigator_type=InstigatorType.SENSOR
        )
    }
    wanted = [s for s in sensors if s.default_status == dg.DefaultSensorStatus.RUNNING]
    found = [(sensor, _broken(instance, sensor, states.get(sensor.name), now)) for sensor in wanted]
    return [broken for _, broken in found if broken is not None]


def _broken(
    instance: dg.DagsterInstance,
    sensor: dg.SensorDefinition,
    state: InstigatorState | None,
    now: datetime,
) -> BrokenSensor | None:
    if state is None:
        return BrokenSensor(sensor.name, "the daemon has not seen it yet", None)
    if not state.is_running:
        return BrokenSensor(sensor.name, "it is stopped", None)
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
    if not ticks:
        return BrokenSensor(sensor.name, "it never looked yet", None)
    return _silent_or_failed(sensor, ticks[0], now)


def _silent_or_failed(
    sensor: dg.SensorDefinition, tick: InstigatorTick, now: datetime
) -> BrokenSensor | None:
    at = datetime.fromtimestamp(tick.timestamp, UTC)
    if tick.status == TickStatus.FAILURE:
        cause = tick.error.message.strip().splitlines()[0] if tick.error else "its look failed"
        return BrokenSensor(sensor.name, cause, at)
    interval = timedelta(seconds=sensor.minimum_interval_seconds or 30)
    if stale_since(at, now, max(3 * interval, _SHORTEST_SILENCE)) is not None:
        words = (
            "it has not looked since: is the daemon running?"
            if at <= now
            else "a clock that was ahead has dated its last look: is it right now?"
        )
        return BrokenSensor(sensor.name, words, at)
    return None
