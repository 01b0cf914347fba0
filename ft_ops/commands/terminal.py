"""The command's way to the terminal: what it can't show or can't write is no fault of the work."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import takewhile
from typing import Final

from ft_ops.errors import OpsError

_LONGEST_QUOTED: Final = 200
"""Characters of an argument that a message repeats: more than most paths have."""

_CONTROLS: Final = {sign: " " for sign in (*range(32), *range(127, 160)) if chr(sign) not in "\n\t"}


class Output(io.TextIOWrapper):
    """Standard output; what it refuses is told as what it is, and not as an error of the work.

    A letter that the terminal does not know is written by its number. What would move its cursor
    or change its colours, and comes from somebody's text, is left out.
    """

    def write(self, text: str) -> int:
        with _told():
            return super().write(text.translate(_CONTROLS))

    def flush(self) -> None:
        with _told():
            super().flush()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        _forget_output()
        closed = error.errno == errno.EPIPE
        raise OpsError(
            "standard output",
            cause="the program that reads it has closed it"
            if closed
            else error.strerror or str(error),
            next_step="run it again and read all of it, if something is missing"
            if closed
            else "write to another place, then run again",
        ) from error


def _forget_output() -> None:
    """Send what is still kept for standard output nowhere: it would fail again at the end."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def take_output() -> None:
    """Let everything that is said from now on go through `Output`."""
    said = sys.stdout
    if isinstance(said, io.TextIOWrapper) and not isinstance(said, Output):
        sys.stdout = Output(
            said.detach(),
            encoding=said.encoding,
            errors="backslashreplace",
            line_buffering=said.line_buffering,
        )


def require_text(arguments: Sequence[str]) -> None:
    """Refuse an argument that is no line of text: it could not be stored, or not be shown again.

    What comes after ``--`` is for another command.
    """
    before = ""
    for argument in takewhile("--".__ne__, arguments):
        if any("\ud800" <= sign <= "\udfff" for sign in argument):
            raise OpsError(
                f"argument {argument!a}",
                cause="it holds bytes that are no text in this terminal's encoding",
                next_step="write it in UTF-8, with a locale such as LC_ALL=C.UTF-8",
            )
        if not argument.isprintable():
            raise OpsError(
                f"argument {argument!a}",
                cause="it holds a line break or another character that nobody sees",
                next_step="write it in one line of plain text",
            )
        option, given, value = argument.partition("=")
        if not argument.startswith("-"):
            option, value = before or repr(argument), argument
        elif not given:
            before = option
            continue
        if not value.strip():
            raise OpsError(
                f"argument {option}",
                cause="it is empty",
                next_step=f"give {option} a value, or leave it out; a variable of the shell that "
                "is not set is empty",
            )
        before = ""


def shortened(words: str, arguments: Sequence[str]) -> str:
    """A message without the whole of an argument that is longer than anybody reads."""
    given = {part for argument in arguments for part in (argument, *argument.split("=", 1))}
    for argument in sorted(given, key=len, reverse=True):
        if len(argument) > _LONGEST_QUOTED:
            short = " ".join(argument[:_LONGEST_QUOTED].split()) + "…"
            for form in (argument, " ".join(argument.split()), ascii(argument)[1:-1]):
                words = words.replace(form, short)
    return words
