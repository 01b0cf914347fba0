"""The sandbox's S3 server as if it were another machine's: it works in what the others leave.

Where S3 is a service, storing costs this machine's processors nothing. In the sandbox its server
has a session of its own, which Linux gives a share like any other session's: for a block it has the
lowest (autogroups, sched(7)).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.frame.profile import s3_servers
from ft_ops.pg.supervision.supervised import LOWEST_PRIORITY


@contextmanager
def s3_elsewhere() -> Iterator[None]:
    """For a block in which every S3 server of ours gives way, where there are autogroups."""
    try:
        _place(LOWEST_PRIORITY)
    except OSError:  # no Linux, or one without autogroups
        yield
        return
    try:
        yield
    finally:
        _place(0)


def _place(place: int) -> None:
    for pid in s3_servers():
        Path(f"/proc/{pid}/autogroup").write_text(str(place))
