"""Each thing is told once, on each channel, whatever fails in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from ft_ops.alerting import Alert, News, Told, tell
from ft_ops.errors import OpsError

NOW = datetime(2026, 3, 1, 6, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass
class Texts:
    """A store in memory; what is in it survives everything else."""

    texts: dict[str, str] = field(default_factory=dict)

    def get_cursor_values(self, keys: set[str]) -> Mapping[str, str]:
        return {key: self.texts[key] for key in keys & self.texts.keys()}

    def set_cursor_values(self, pairs: Mapping[str, str]) -> None:
        self.texts.update(pairs)


@dataclass
class Ears:
    """A channel that remembers what it was told, and can be deaf."""

    name: str = "ears"
    is_deaf: bool = False
    heard: list[str] = field(default_factory=list)

    def send(self, alert: Alert) -> None:
        if self.is_deaf:
            raise OpsError(self.name, cause="deaf", next_step="shout")
        self.heard.append(alert.title)


def news(event: str, identity: str = "job fails", title: str | None = None) -> News:
    return News(Alert(identity, "error", title or event, "", None, None), event)


def told(store: Texts) -> Told:
    """What a new process reads."""
    return Told(store, "tests")


def say(items: list[News], channels: list[Ears], store: Texts, now: datetime = NOW) -> int:
    return tell(items, channels, told(store), repeat_after=DAY, secrets=(), now=now)


def test_an_event_is_told_once() -> None:
    ears, store = Ears(), Texts()
    assert [say([news("run 1")], [ears], store) for _ in range(3)] == [1, 0, 0]
    assert ears.heard == ["run 1"]


def test_the_same_failure_again_is_told_again_only_later() -> None:
    ears, store = Ears(), Texts()
    say([news("run 1")], [ears], store, NOW)
    say([news("run 2"), news("run 3", "another job fails")], [ears], store, NOW + DAY / 2)
    say([news("run 4")], [ears], store, NOW + DAY)
    assert ears.heard == ["run 1", "run 3", "run 4"]


def test_a_deaf_channel_stops_no_other_and_hears_later() -> None:
    deaf, ears, store = Ears("deaf", is_deaf=True), Ears(), Texts()
    items = [news("run 1"), news("run 2", "another job fails")]
    with pytest.raises(OpsError, match="deaf"):
        say(items, [deaf, ears], store)
    assert ears.heard == ["run 1", "run 2"]
    deaf.is_deaf = False
    assert say(items, [deaf, ears], store) == 2
    assert deaf.heard == ears.heard == ["run 1", "run 2"]


def test_what_was_told_is_noted_before_the_next_is_told() -> None:
    """A process that dies at the second alert does not repeat the first."""
    store = Texts()

    class Dying(Ears):
        def send(self, alert: Alert) -> None:
            if self.heard:
                raise KeyboardInterrupt
            super().send(alert)

    dying, ears = Dying(), Ears()
    items = [news("run 1"), news("run 2", "another job fails")]
    with pytest.raises(KeyboardInterrupt):
        say(items, [dying], store)
    say(items, [ears], store)
    assert ears.heard == ["run 2"]


def test_a_forgotten_identity_is_told_at_once() -> None:
    ears, store = Ears(), Texts()
    say([news("run 1")], [ears], store)
    told(store).forget(ears, ["job fails"])
    say([news("run 2")], [ears], store)
    assert ears.heard == ["run 1", "run 2"]


def test_old_events_are_dropped() -> None:
    ears, store = Ears(), Texts()
    say([news("run 1")], [ears], store)
    told(store).forget_events_before(NOW + DAY)
    assert "run 1" not in store.texts["tests"]


def test_secrets_are_masked_before_anything_is_sent_or_noted() -> None:
    ears, store = Ears(), Texts()
    item = news("run 1", identity="fails with hunter22", title="hunter22 was refused")
    tell([item], [ears], told(store), repeat_after=DAY, secrets=["hunter22"], now=NOW)
    assert ears.heard == ["*** was refused"]
    assert "hunter22" not in store.texts["tests"]
