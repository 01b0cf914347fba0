"""What a program can be kept from: writing to files outside its folders, and calling anybody.

The kernel holds both, for a process and whatever it starts, whoever it runs as: files by Landlock,
connections by seccomp. Neither can be taken back.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_SET_NO_NEW_PRIVS: Final = 38  # prctl(2)

# Rights of linux/landlock.h that change something, by the version that brought them.
_WRITE_FILE, _TRUNCATE = 1 << 1, 1 << 14
_CHANGES: Final = _WRITE_FILE | sum(1 << bit for bit in range(4, 13))
_NETWORK: Final = 0b11
_SCOPES: Final = 0b11  # sockets without a file, and signals

_GET_SECCOMP, _SET_SECCOMP, _FILTER = 21, 22, 2  # prctl(2)
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # linux/bpf_common.h
_ALLOW: Final = 0x7FFF0000
_DENY: Final = 0x00050000 | errno.EACCES
_IO_URING_SETUP: Final = 425  # by which one connects without the call
_OTHER_ABI: Final = 0x40000000  # x86-64 numbers its calls a second time from here on
# Where linux/seccomp.h has the call's number, its architecture, and the address that sendto is
# given: send() is the same call without one.
_CALL_AT, _ARCHITECTURE_AT, _ADDRESS_AT = 0, 4, 48


class WallsError(Exception):
    """The kernel has what it takes, and refuses."""


@dataclass(frozen=True, slots=True)
class Walls:
    """What a program is kept within: it writes below ``folders`` only, as ``user`` (uid, gid).

    Without ``network`` it connects to nobody, by whatever kind of socket, and can signal nobody but
    its own children; others may connect to it. With ``own_servers`` it may connect by sockets that
    are files, as pg_upgrade does with the servers that it starts, and still by no other kind.
    """

    folders: tuple[Path, ...]
    network: bool = True
    user: tuple[int, int] | None = None
    own_servers: bool = False


@dataclass(frozen=True, slots=True)
class _Calls:
    """Numbers of what reaches others: asm/unistd.h; ``architecture`` is linux/audit.h's."""

    architecture: int
    connect: int
    sendto: int
    sendmsg: int
    sendmmsg: int


_CALLS: Final = {
    "x86_64": _Calls(0xC000003E, connect=42, sendto=44, sendmsg=46, sendmmsg=307),
    "aarch64": _Calls(0xC00000B7, connect=203, sendto=206, sendmsg=211, sendmmsg=269),
}


@cache
def confinement() -> str | None:
    """What holds `Walls` on this machine, None where nothing does."""
    version = _landlock_version()
    return f"Landlock {version}" if version > 0 else None


@cache
def connects_to_nobody() -> bool:
    """Whether `Walls` without network keep a program from every connection on this machine.

    Landlock alone knows TCP, and since Linux 6.7 only: a socket that is a file it lets through.
    """
    return (
        sys.platform.startswith("linux")
        and platform.machine() in _CALLS
        and ctypes.CDLL(None).prctl(_GET_SECCOMP, 0, 0, 0, 0) >= 0
    )


def _landlock_version() -> int:
    """0 where the kernel has none, or a container's seccomp profile forbids it."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(_syscall(_CREATE_RULESET, None, 0, _VERSION), 0)


def _syscall(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = libc.syscall(ctypes.c_long(number), *given)
    return result


def prctl(option: int, value: int) -> None:
    """Set something of this process; nothing happens where the kernel is not Linux."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def confine(folders: Sequence[str], *, network: bool) -> None:
    """From here on this process, and what it starts, changes files below ``folders`` only."""
    version = _landlock_version()
    if version == 0:
        return
    changes = _CHANGES | (1 << 13 if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    ports = _NETWORK if version >= 4 and not network else 0
    scopes = _SCOPES if version >= 6 and not network else 0
    fields = [changes, *([ports] if version >= 4 else []), *([scopes] if version >= 6 else [])]
    ruleset = _syscall(
        _CREATE_RULESET, struct.pack(f"={len(fields)}Q", *fields), 8 * len(fields), 0
    )
    if ruleset < 0:
        raise WallsError(f"Landlock refuses a ruleset: {os.strerror(ctypes.get_errno())}")
    for path in (*folders, os.devnull):
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
        of_files = _WRITE_FILE | (_TRUNCATE if version >= 3 else 0)
        allowed = of_files if path == os.devnull else changes
        rule = struct.pack("=Qi", allowed, beneath)
        if _syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0) != 0:
            raise WallsError(f"Landlock refuses {path}: {os.strerror(ctypes.get_errno())}")
        os.close(beneath)
    prctl(_SET_NO_NEW_PRIVS, 1)
    if _syscall(_RESTRICT_SELF, ruleset, 0) != 0:
        raise WallsError(f"Landlock refuses to begin: {os.strerror(ctypes.get_errno())}")
    os.close(ruleset)


def connect_to_nobody() -> None:
    """From here on this process, and what it starts, can accept connections and make none."""
    if not connects_to_nobody():
        return
    calls = _CALLS[platform.machine()]
    denied = [calls.connect, calls.sendmsg, calls.sendmmsg, _IO_URING_SETUP]
    # Each: what to do, how many to skip if so, and if not, a number. Denied stands at the end.
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 0, len(denied) + 8, calls.architecture),
        (_LOAD, 0, 0, _CALL_AT),
        (_AT_LEAST, len(denied) + 6, 0, _OTHER_ABI),
        *((_EQUAL, len(denied) + 5 - n, 0, number) for n, number in enumerate(denied)),
        (_EQUAL, 0, 4, calls.sendto),
        (_LOAD, 0, 0, _ADDRESS_AT),
        (_EQUAL, 0, 3, 0),
        (_LOAD, 0, 0, _ADDRESS_AT + 4),
        (_EQUAL, 0, 1, 0),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _DENY),
    ]
    filters = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in program))
    told = struct.pack("@HP", len(program), ctypes.addressof(filters))
    prctl(_SET_NO_NEW_PRIVS, 1)
    if ctypes.CDLL(None).prctl(_SET_SECCOMP, _FILTER, ctypes.c_char_p(told), 0, 0) != 0:
        raise WallsError("seccomp refuses a filter")
