"""Tells each thing once on each channel, whatever dies in between."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from ft_ops.alerting.channels import Channel
from ft_ops.alerting.messages import Alert
from ft_ops.errors import OpsError


class Store(Protocol):
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


@dataclass(slots=True)
class Told:
    """When what was told, by channel, in seconds since 1970: kept under ``key`` of a store."""

    store: Store
    key: str
    events: dict[str, float] = field(init=False)
    identities: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        kept = json.loads(self.store.get_cursor_values({self.key}).get(self.key, "{}"))
        self.events = kept.get("events", {})
        self.identities = kept.get("identities", {})

    def event(self, channel: Channel, event: str) -> bool:
        """Whether this very event was told."""
        return f"{channel.name} {event}" in self.events

    def identity(self, channel: Channel, identity: str) -> float | None:
        """When something of that identity was last told, None when never."""
        return self.identities.get(f"{channel.name} {identity}")

    def note(self, channel: Channel, event: str, now: datetime, identity: str | None) -> None:
        """Remember that an event was dealt with now, and that its identity was told if given."""
        self.events[f"{channel.name} {event}"] = now.timestamp()
        if identity is not None:
            self.identities[f"{channel.name} {identity}"] = now.timestamp()
        self._keep()

    def forget(self, channel: Channel, identities: Iterable[str]) -> None:
        """Let these identities be told again at once."""
        for identity in identities:
            self.identities.pop(f"{channel.name} {identity}", None)
        self._keep()

    def forget_events_before(self, moment: datetime) -> None:
        """Drop events that are looked at no more."""
        self.events = {name: t for name, t in self.events.items() if t >= moment.timestamp()}
        self._keep()

    def _keep(self) -> None:
        document = json.dumps({"events": self.events, "identities": self.identities})
        self.store.set_cursor_values({self.key: document})


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
    that fails does not stop the others: its OpsError is raised at the end, and what it did not
    take is tried again by the next call.
    """
    sent = 0
    failure: OpsError | None = None
    for item in news:
        alert = item.alert.masked(secrets)
        for channel in channels:
            if told.event(channel, item.event):
                continue
            before = told.identity(channel, alert.identity)
            if before is not None and before > (now - repeat_after).timestamp():
                told.note(channel, item.event, now, None)
                continue
            try:
                channel.send(alert)
            except OpsError as error:
                failure = failure or error
            else:
                told.note(channel, item.event, now, alert.identity)
                sent += 1
    if failure is not None:
        raise failure
    return sent
