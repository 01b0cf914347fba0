"""Tells each thing once on each channel, whatever dies in between.

What a channel did not take is kept and sent when it answers again, also when the thing has healed
meanwhile: whoever was deaf hears the failure, and then that it is over.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from ft_ops.alerting.channels import Channel, takes
from ft_ops.alerting.deadline import within
from ft_ops.alerting.messages import Alert
from ft_ops.clock import MOST_CLOCK_SKEW
from ft_ops.errors import OpsError

_HEALTH_KEY: Final = "ft-ops alerts: channels"
_DEADLINE_SECONDS: Final = 10.0
"""What a channel may take for one alert, however it spends it. All five may hang at once, and the
sensor still ends within the minute that Dagster gives it: a channel that failed is left alone for
the rest of a call."""


class TextStore(Protocol):
    """Named texts that survive this process."""

    def get_cursor_values(self, keys: set[str]) -> Mapping[str, str]:
        """The texts of those names that are known."""

    def set_cursor_values(self, pairs: Mapping[str, str]) -> None:
        """Keep these, for good once this returns."""


@dataclass(frozen=True, slots=True)
class News:
    """An alert, and the event that it is about. An event is told once, an identity at times."""

    alert: Alert
    event: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A channel that did not take what it was given last: since when, and what it said."""

    since: datetime
    cause: str


@dataclass(slots=True)
class Told:
    """When what was told, by channel, in seconds since 1970: kept under ``key`` of a store."""

    store: TextStore
    key: str
    events: dict[str, float] = field(init=False)
    identities: dict[str, float] = field(init=False)
    untold: dict[str, dict[str, dict[str, Any]]] = field(init=False)
    """By channel and identity: the alert that it did not take, its event, and since when."""

    def __post_init__(self) -> None:
        kept = json.loads(self.store.get_cursor_values({self.key}).get(self.key, "{}"))
        self.events = kept.get("events", {})
        self.identities = kept.get("identities", {})
        self.untold = kept.get("untold", {})

    def event(self, channel: Channel, event: str) -> bool:
        """Whether this very event was told."""
        return f"{channel.name} {event}" in self.events

    def identity(self, channel: Channel, identity: str) -> float | None:
        """When something of that identity was last told, None when never."""
        return self.identities.get(f"{channel.name} {identity}")

    def lately(self, channel: Channel, identity: str, now: datetime, span: timedelta) -> bool:
        """Whether something of that identity was told within a span before now.

        What a clock has dated after now was told nobody knows when: rather twice than never.
        """
        at = self.identity(channel, identity)
        if at is None:
            return False
        return (now - span).timestamp() < at <= (now + MOST_CLOCK_SKEW).timestamp()

    def told_identities(self, channel: Channel) -> list[str]:
        """What was told on a channel and not forgotten since."""
        head = f"{channel.name} "
        return [name.removeprefix(head) for name in self.identities if name.startswith(head)]

    def note(self, channel: Channel, event: str, now: datetime, identity: str | None) -> None:
        """Remember that an event was dealt with now, and that its identity was told if given."""
        self.events[f"{channel.name} {event}"] = now.timestamp()
        if identity is not None:
            self.identities[f"{channel.name} {identity}"] = now.timestamp()
            self.untold.get(channel.name, {}).pop(identity, None)
        self._keep()

    def keep_for_later(self, channel: Channel, item: News, now: datetime) -> None:
        """Remember what a channel did not take. Of several of one identity, the newest."""
        waiting = self.untold.setdefault(channel.name, {})
        before = waiting.get(item.alert.identity)
        waiting[item.alert.identity] = {
            "event": item.event,
            "alert": asdict(item.alert),
            "since": before["since"] if before else now.timestamp(),
        }
        self._keep()

    def drop_waiting(self, channel: Channel, item: News) -> None:
        """Forget that this waits for a channel, if it does."""
        waiting = self.untold.get(channel.name, {})
        if waiting.get(item.alert.identity, {}).get("event") == item.event:
            del waiting[item.alert.identity]
            self._keep()

    def waiting(self, channel: Channel) -> list[News]:
        """What a channel did not take yet, the oldest first."""
        kept = sorted(self.untold.get(channel.name, {}).values(), key=lambda item: item["since"])
        return [News(Alert(**item["alert"]), item["event"]) for item in kept]

    def forget(self, channel: Channel, identities: Iterable[str]) -> None:
        """Let these identities be told again at once."""
        for identity in identities:
            self.identities.pop(f"{channel.name} {identity}", None)
        self._keep()

    def forget_events_before(self, moment: datetime) -> None:
        """Drop events that are looked at no more, and what no channel took for so long."""
        oldest = moment.timestamp()
        self.events = {name: t for name, t in self.events.items() if t >= oldest}
        self.untold = {
            channel: {name: item for name, item in items.items() if item["since"] >= oldest}
            for channel, items in self.untold.items()
        }
        self._keep()

    def _keep(self) -> None:
        document = {
            "events": self.events,
            "identities": self.identities,
            "untold": self.untold,
        }
        self.store.set_cursor_values({self.key: json.dumps(document)})


def refusals(store: TextStore) -> dict[str, Refusal]:
    """The channels that took nothing when they were last tried, by name."""
    kept = json.loads(store.get_cursor_values({_HEALTH_KEY}).get(_HEALTH_KEY, "{}"))
    return {
        name: Refusal(datetime.fromtimestamp(entry["since"], UTC), entry["cause"])
        for name, entry in kept.items()
    }


def forget_refusal(store: TextStore, channel: str) -> None:
    """A channel took something, or there is nothing more to try it with."""
    known = refusals(store)
    if known.pop(channel, None) is not None:
        _keep_refusals(store, known)


def tell(
    news: Iterable[News],
    channels: Collection[Channel],
    told: Told,
    *,
    repeat_after: timedelta,
    secrets: Collection[str],
    now: datetime,
) -> int:
    """Send what was not told yet, on each channel; how many were sent.

    What was told under the same identity less than ``repeat_after`` ago counts as told. A channel
    that fails does not stop the others, and is left alone for the rest of this call: its OpsError
    is raised at the end, and what it did not take is tried again by the next call.
    """
    items = [News(item.alert.masked(secrets), item.event) for item in news]
    sent = 0
    failure: OpsError | None = None
    for channel in channels:
        refused: OpsError | None = None
        for item in [*told.waiting(channel), *(i for i in items if takes(channel, i.alert))]:
            if told.event(channel, item.event):
                told.drop_waiting(channel, item)
                continue
            if told.lately(channel, item.alert.identity, now, repeat_after):
                told.note(channel, item.event, now, None)
                told.drop_waiting(channel, item)
                continue
            if refused is None:
                refused = _send(channel, item.alert, told.store, now)
            if refused is not None:
                told.keep_for_later(channel, item, now)
                continue
            told.note(channel, item.event, now, item.alert.identity)
            sent += 1
        failure = failure or refused
    if failure is not None:
        raise failure
    return sent


def _send(channel: Channel, alert: Alert, store: TextStore, now: datetime) -> OpsError | None:
    """Send; what the channel said when it did not take it, which is remembered either way."""
    try:
        within(_DEADLINE_SECONDS, f"alerts by {channel.name}", lambda: channel.send(alert))
    except OpsError as error:
        known = refusals(store)
        since = known[channel.name].since if channel.name in known else now
        _keep_refusals(store, {**known, channel.name: Refusal(since, error.cause)})
        return error
    forget_refusal(store, channel.name)
    return None


def _keep_refusals(store: TextStore, known: Mapping[str, Refusal]) -> None:
    document = {
        name: {"since": refusal.since.timestamp(), "cause": refusal.cause}
        for name, refusal in known.items()
    }
    store.set_cursor_values({_HEALTH_KEY: json.dumps(document)})
