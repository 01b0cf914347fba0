"""Each thing is told once, on each channel, whatever fails in between."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from ft_ops.alerting import Alert, News, Told, tell
from ft_ops.alerting.sent_log import Refusal, forget_refusal, refusals
from ft_ops.errors import OpsError
from ft_ops.settings import Severity

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
    severity: Severity = "warning"
    is_deaf: bool = False
    heard: list[str] = field(default_factory=list)

    def send(self, alert: Alert) -> None:
        if self.is_deaf:
            raise OpsError(self.name, cause="deaf", next_step="shout")
        self.heard.append(alert.title)


def news(
    event: str,
    identity: str = "job fails",
    title: str | None = None,
    severity: Severity = "error",
) -> News:
    return News(Alert(identity, severity, title or event, "", None, None), event)


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


def test_what_a_wrong_clock_told_in_the_future_keeps_nothing_from_being_told() -> None:
    ears, store = Ears(), Texts()
    say([news("run 1")], [ears], store, NOW + 100 * DAY)
    say([news("run 2")], [ears], store, NOW)
    say([news("run 3")], [ears], store, NOW - timedelta(hours=1))
    assert ears.heard == ["run 1", "run 2"]


def test_a_deaf_channel_stops_no_other_and_hears_later() -> None:
    deaf, ears, store = Ears("deaf", is_deaf=True), Ears(), Texts()
    items = [news("run 1"), news("run 2", "another job fails")]
    with pytest.raises(OpsError, match="deaf"):
        say(items, [deaf, ears], store)
    assert ears.heard == ["run 1", "run 2"]
    deaf.is_deaf = False
    assert say(items, [deaf, ears], store) == 2
    assert deaf.heard == ears.heard == ["run 1", "run 2"]


def test_a_channel_for_errors_is_told_no_warning() -> None:
    all_of_them, errors, store = Ears("all"), Ears("errors", severity="error"), Texts()
    items = [news("run 1", severity="warning"), news("run 2", "another job fails")]
    say(items, [all_of_them, errors], store)
    assert all_of_them.heard == ["run 1", "run 2"]
    assert errors.heard == ["run 2"]


def test_a_channel_that_hangs_is_given_up_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ft_ops.alerting.sent_log._DEADLINE_SECONDS", 0.05)
    ended = threading.Event()

    class Hanging(Ears):
        def send(self, alert: Alert) -> None:
            ended.wait(10)

    try:
        with pytest.raises(OpsError, match="alerts by hanging"):
            say([news("run 1")], [Hanging("hanging")], Texts())
    finally:
        ended.set()


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
    assert say([news("run 1"), news("run 2")], [ears], store) == 1
    assert ears.heard == ["run 1", "run 2"]


def test_old_events_are_dropped() -> None:
    ears, store = Ears(), Texts()
    say([news("run 1")], [ears], store)
    told(store).forget_events_before(NOW)
    assert told(store).event(ears, "run 1")
    told(store).forget_events_before(NOW + timedelta(seconds=1))
    assert not told(store).event(ears, "run 1")
    assert told(store).identity(ears, "job fails") == NOW.timestamp()


def test_what_no_channel_took_for_so_long_is_dropped_too() -> None:
    deaf, store = Ears(is_deaf=True), Texts()
    with pytest.raises(OpsError):
        say([news("run 1")], [deaf], store)
    told(store).forget_events_before(NOW)
    assert [item.event for item in told(store).waiting(deaf)] == ["run 1"]
    told(store).forget_events_before(NOW + timedelta(seconds=1))
    assert told(store).waiting(deaf) == []


def test_what_was_told_is_known_by_channel_and_identity() -> None:
    ears, store = Ears(), Texts()
    say([news("run 1"), news("run 2", "another job fails")], [ears], store)
    known = told(store)
    assert known.told_identities(ears) == ["job fails", "another job fails"]
    assert known.told_identities(Ears("mail")) == []
    assert known.identity(Ears("mail"), "job fails") is None
    assert not known.event(Ears("mail"), "run 1")
    known.forget(ears, ["job fails", "never told"])
    assert told(store).told_identities(ears) == ["another job fails"]


def test_a_channel_that_refuses_is_not_tried_again_in_the_same_call() -> None:
    tries: list[str] = []

    class Deaf(Ears):
        def send(self, alert: Alert) -> None:
            tries.append(alert.title)
            super().send(alert)

    store = Texts()
    first, second = Deaf("first", is_deaf=True), Deaf("second", is_deaf=True)
    items = [news("run 1"), news("run 2", "another job fails")]
    with pytest.raises(OpsError) as raised:
        say(items, [first, second], store)
    assert tries == ["run 1", "run 1"]
    assert raised.value.what == "first"
    for channel in (first, second):
        assert [item.event for item in told(store).waiting(channel)] == ["run 1", "run 2"]


def test_what_waits_is_told_first_and_the_oldest_before_the_others() -> None:
    deaf, store = Ears(is_deaf=True), Texts()
    for hours, item in enumerate((news("b", "b"), news("a", "a"), news("b again", "b"))):
        with pytest.raises(OpsError):
            say([item], [deaf], store, NOW + timedelta(hours=hours))
    # Of one identity the newest is told, at the place of the first.
    assert [item.event for item in told(store).waiting(deaf)] == ["b again", "a"]
    deaf.is_deaf = False
    assert say([news("c", "c")], [deaf], store, NOW + timedelta(hours=3)) == 3
    assert deaf.heard == ["b again", "a", "c"]
    assert told(store).waiting(deaf) == []


def test_what_waits_keeps_its_place_when_a_newer_one_of_its_identity_comes() -> None:
    ears, store = Ears(), Texts()
    known = told(store)
    for hours, item in enumerate((news("b", "b"), news("a", "a"), news("b again", "b"))):
        known.keep_for_later(ears, item, NOW + timedelta(hours=hours))
    assert [item.event for item in told(store).waiting(ears)] == ["b again", "a"]


def test_without_a_channel_nothing_is_told() -> None:
    assert say([news("run 1")], [], Texts()) == 0


def test_what_waits_while_its_like_is_told_is_told_no_more() -> None:
    ears, store = Ears(is_deaf=True), Texts()
    with pytest.raises(OpsError):
        say([news("run 1")], [ears], store)
    known = told(store)
    known.note(ears, "run 0", NOW, "job fails")
    assert told(store).waiting(ears) == []
    known.keep_for_later(ears, news("run 1"), NOW)
    known.drop_waiting(ears, news("another event"))
    known.drop_waiting(ears, news("run 1", "another job fails"))
    known.drop_waiting(Ears("mail"), news("run 1"))
    assert [item.event for item in told(store).waiting(ears)] == ["run 1"]
    ears.is_deaf = False
    assert say([], [ears], store) == 0
    assert told(store).waiting(ears) == []
    assert told(store).event(ears, "run 1")


def test_an_event_that_counts_as_told_does_not_put_off_the_next_one() -> None:
    ears, store = Ears(), Texts()
    say([news("run 1")], [ears], store, NOW)
    say([news("run 2")], [ears], store, NOW + DAY / 2)
    assert told(store).event(ears, "run 2")
    assert told(store).identity(ears, "job fails") == NOW.timestamp()


def test_a_refusal_is_known_with_its_beginning_and_its_newest_cause() -> None:
    deaf, mute, store = Ears("deaf", is_deaf=True), Ears("mute", is_deaf=True), Texts()
    for hours in (0, 2):
        with pytest.raises(OpsError):
            say([news(f"run {hours}", f"{hours}")], [deaf], store, NOW + timedelta(hours=hours))
    with pytest.raises(OpsError):
        say([news("run 3")], [mute], store, NOW + DAY)
    assert refusals(store) == {"deaf": Refusal(NOW, "deaf"), "mute": Refusal(NOW + DAY, "deaf")}
    deaf.is_deaf = False
    say([news("run 4", "4")], [deaf], store, NOW + DAY)
    assert refusals(store) == {"mute": Refusal(NOW + DAY, "deaf")}
    forget_refusal(store, "nobody")
    forget_refusal(store, "mute")
    assert refusals(store) == {}


def test_secrets_are_masked_before_anything_is_sent_or_noted() -> None:
    ears, store = Ears(), Texts()
    item = news("run 1", identity="fails with hunter22", title="hunter22 was refused")
    tell([item], [ears], told(store), repeat_after=DAY, secrets=["hunter22"], now=NOW)
    assert ears.heard == ["*** was refused"]
    assert "hunter22" not in store.texts["tests"]
