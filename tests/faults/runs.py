"""The harness's side: starts a step in a child, meets it at its point, and learns how it ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tests.faults.probe import Moment

_SECONDS = 60
"""How long a child may stay silent; a step takes a second or two."""


@dataclass(frozen=True, slots=True)
class Paused:
    """The child stands at its point."""

    number: int
    label: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The child is done. ``is_clear`` is whether its error, if any, was an OpsError."""

    error: str
    kind: str
    is_clear: bool
    trace: str
    points: tuple[str, ...]

    @property
    def succeeded(self) -> bool:
        return not self.kind


@dataclass(frozen=True, slots=True)
class Died:
    """The child is gone without a word."""


class Run:
    """One child. ``event`` waits for what it has to say next; the last word is said again."""

    def __init__(self, channel: socket.socket) -> None:
        self._end: Ended | Died | None = None
        self._channel = channel
        channel.settimeout(_SECONDS)
        self._lines = channel.makefile("rw", encoding="utf-8", newline="\n")
        self._pid = int(json.loads(self._lines.readline())["started"])

    def event(self) -> Paused | Ended | Died:
        if self._end is not None:
            return self._end
        try:
            line = self._lines.readline()
        except ConnectionResetError:
            line = ""
        message = json.loads(line) if line else {}
        if "paused" in message:
            return Paused(**message["paused"])
        if "ended" in message:
            ended = message["ended"]
            self._end = Ended(**ended | {"points": tuple(ended["points"])})
        else:
            self._end = Died()
        return self._end

    def pause(self) -> Paused | None:
        """Where it waits; None when the step has ended, well, before it got there."""
        event = self.event()
        if isinstance(event, Paused):
            return event
        assert isinstance(event, Ended), "it died by itself"
        assert event.succeeded, event.trace or event.error
        return None

    def go_on(self) -> None:
        self._lines.write("go on\n")
        self._lines.flush()

    def kill(self) -> None:
        """SIGKILL, and wait until the kernel has closed what the child had open."""
        os.kill(self._pid, signal.SIGKILL)
        while isinstance(self.event(), Paused):
            pass

    def cancel(self) -> None:
        """What Dagster's UI does to a run: an interruption, and the run goes on to clean up."""
        os.kill(self._pid, signal.SIGINT)
        # It may be done with cleaning up before it is told to.
        with suppress(BrokenPipeError):
            self.go_on()

    def close(self) -> None:
        try:
            # What it was not told any more is still to be flushed.
            with suppress(BrokenPipeError):
                self._lines.close()
        finally:
            self._channel.close()


class Zygote:
    """Starts runs; ``environment`` is set in each child before its step."""

    def __init__(
        self, process: subprocess.Popen[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        self._process = process
        self._folder = folder
        self._environment = dict(environment)
        self._numbers = count(1)

    def start(
        self,
        step: str,
        arguments: Sequence[object],
        *,
        pause_at: tuple[int, Moment] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Run:
        """Begin ``step`` (``module:function``) with ``arguments`` (anything JSON holds)."""
        path = self._folder / f"{next(self._numbers)}"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(1)
            listener.settimeout(_SECONDS)
            order = {
                "socket": str(path),
                "step": step,
                "arguments": list(arguments),
                "pause_at": pause_at,
                "environment": self._environment | dict(environment or {}),
            }
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            channel, _ = listener.accept()
        path.unlink()
        return Run(channel)

    def finish(
        self,
        step: str,
        arguments: Sequence[object],
        *,
        environment: Mapping[str, str] | None = None,
    ) -> Ended:
        """Run a step undisturbed, and tell how it ended."""
        run = self.start(step, arguments, environment=environment)
        try:
            event = run.event()
            assert isinstance(event, Ended), f"{step} died by itself"
            return event
        finally:
            run.close()


@contextmanager
def zygote(modules: Sequence[str], environment: Mapping[str, str]) -> Iterator[Zygote]:
    """A zygote for a block, with ``modules`` imported; its children die with the block."""
    with tempfile.TemporaryDirectory(prefix="ft-faults-") as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.zygote", *modules],
            stdin=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            yield Zygote(process, Path(folder), environment)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=_SECONDS)
