"""Works through many things: one that fails is named, and the others are done all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ft_ops.errors import OpsError, explained

Item = TypeVar("Item")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failed:
    """An item that could not be done: its name, why, and what to do about it."""

    name: str
    cause: str
    next_step: str

    def __str__(self) -> str:
        return f"{self.name}: {self.cause}"


@dataclass(frozen=True, slots=True)
class Worked(Generic[T]):
    """What became of each item. ``done`` and ``failed`` are in the order of the items."""

    done: tuple[tuple[str, T], ...]
    failed: tuple[Failed, ...]

    @property
    def results(self) -> list[T]:
        return [result for _, result in self.done]

    def refuse_failures(self, what: str) -> None:
        """A `SomeFailed` when an item failed; called once everything else was done and shown."""
        if self.failed:
            raise SomeFailed(what, len(self.done), self.failed)


class SomeFailed(OpsError):
    """Some of many items failed, and each is named in ``failed``; the others are done."""

    def __init__(self, what: str, done: int, failed: tuple[Failed, ...]) -> None:
        self.failed = failed
        super().__init__(
            what,
            cause=f"{len(failed)} of {done + len(failed)} failed: "
            + "; ".join(str(item) for item in failed),
            next_step="; ".join(dict.fromkeys(item.next_step for item in failed)),
        )


def each(
    items: Iterable[Item],
    work: Callable[[Item], T],
    *,
    name: Callable[[Item], str] = str,
    log: Callable[[str], None] = lambda line: None,
    usable: Callable[[], bool] = lambda: True,
) -> Worked[T]:
    """Do ``work`` for each item; an error that a person can cause stops that item alone.

    Such errors are those that `explained` puts into words. Any other is a defect of ours, and ends
    everything. An interruption does, too. ``work`` must leave its connection usable: a transaction
    of its own is rolled back by its block. Once ``usable`` is false, as after a connection was
    lost, the rest is not tried, and says so.
    """
    done: list[tuple[str, T]] = []
    failed: list[Failed] = []
    last = ""
    for item in items:
        if not usable():
            cause = f"not tried: {last or 'something before it'} left no connection"
            failed.append(Failed(name(item), cause, "run again"))
            continue
        last = name(item)
        try:
            with explained(last):
                done.append((last, work(item)))
        except OpsError as error:
            # What it is about is often another thing than the item, such as one of its objects.
            is_known = error.what in last or last in error.what
            cause = error.cause if is_known else f"{error.what}: {error.cause}"
            failed.append(Failed(last, cause, error.next_step))
            log(f"{last} failed: {cause}")
    return Worked(tuple(done), tuple(failed))
