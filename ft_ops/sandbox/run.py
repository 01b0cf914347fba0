"""Runs a command in a sandbox, or holds one for other terminals."""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType

import click

from ft_ops.errors import OpsError
from ft_ops.sandbox.servers import sandbox

_ENDING = (signal.SIGINT, signal.SIGTERM)
_PR_SET_PDEATHSIG = 1
_NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


def run_in_sandbox(argv: Sequence[str], settings: Mapping[str, str] = _NO_SETTINGS) -> int:
    """Run the command ``argv`` in a new sandbox and return its exit status.

    ``settings`` are added to its environment. 128 + n says that signal n ended it, as in a shell.
    SIGTERM and SIGINT are passed on to it.
    """
    with sandbox() as box:
        return _run(argv, box.child_environment(os.environ) | dict(settings))


def hold_sandbox() -> None:
    """Print what a shell needs to use a new sandbox, and keep it until Ctrl-C or SIGTERM."""
    with sandbox() as box:
        # Before the first line: a script that has read it may end us, and where a shell has started
        # us in the background, SIGINT is ignored and lost unless it is blocked.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        for name, value in box.environment().items():
            click.echo(f"export {name}={shlex.quote(value)}")
        click.echo("sandbox: ready; Ctrl-C ends it", err=True)
        signal.sigwait(_ENDING)


def _run(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    # Signals wait until they can be passed on: one in between would end us and not the command.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        process = _spawn(argv, environment)
        with _passing_signals_to(process):
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            status = process.wait()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return 128 - status if status < 0 else status


def _spawn(argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            argv,
            env=environment,
            # Safe: this process has started no thread that could hold a lock across the fork.
            preexec_fn=tied_to_us(),  # noqa: PLW1509
        )
    except OSError as error:
        raise OpsError(
            f"command {argv[0]}",
            cause=error.strerror or str(error),
            next_step="check its name and your PATH",
        ) from error


@contextmanager
def _passing_signals_to(process: subprocess.Popen[bytes]) -> Iterator[None]:
    def interrupt(*_: object) -> None:
        # Ctrl-C in a terminal has reached the command already; twice would be taken for haste.
        if not _in_terminal_foreground():
            process.send_signal(signal.SIGINT)

    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, interrupt),
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: process.terminate()),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_terminal_foreground() -> bool:
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):  # no terminal, or no standard input at all
        return False


def tied_to_us() -> Callable[[], None]:
    """What a child does before its program: it takes signals, and ends (on Linux) when we do."""
    return partial(_prepare_command, os.getpid())


def _prepare_command(parent: int) -> None:
    """In the new process: take signals, and have the kernel (Linux) end it if we are killed."""
    # What a script starts in its background ignores Ctrl-C, and hands that on to its children.
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # killed before the kernel knew
            os.kill(os.getpid(), signal.SIGTERM)
