"""An S3 endpoint over HTTP on this machine: moto's server, in a process of its own.

Objects are kept in memory, and in temporary files from 64 KiB on.
"""

from __future__ import annotations

import gc
import importlib.util
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ft_ops.errors import OpsError

if TYPE_CHECKING:
    # It imports moto, which is for the process that serves.
    from ft_ops.sandbox.stores.direct import Direct

_HOST = "127.0.0.1"


@contextmanager
def object_store(temporary_dir: Path, *, module: str = __name__) -> Iterator[Callable[[], str]]:
    """Start an S3 endpoint that ends with the block, or with this process.

    Yields at once a function that waits for the start and returns the endpoint's URL, so that
    the seconds until then can be used. ``temporary_dir`` takes the bodies of larger objects, and
    ``module`` has the function ``serve`` that is the endpoint.
    """
    if importlib.util.find_spec("moto") is None:
        raise OpsError(
            "local S3",
            cause="the package moto is not installed",
            next_step="install the extra: pip install 'ft-ops[sandbox]'",
        )
    process = subprocess.Popen(
        [sys.executable, "-c", f"from {module} import serve; serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Ctrl-C in a terminal is for the command that uses the endpoint.
        start_new_session=True,
        env={
            **os.environ,
            "TMPDIR": str(temporary_dir),
            # The default keeps up to 5 MB of every object in memory.
            "MOTO_S3_DEFAULT_KEY_BUFFER_SIZE": str(64 * 1024),
        },
    )
    with process:
        try:
            yield lambda: _endpoint(process)
        finally:
            if process.stdin is not None:
                process.stdin.close()


def _endpoint(process: subprocess.Popen[bytes]) -> str:
    port = process.stdout.readline().strip() if process.stdout is not None else b""
    if not port:
        raise OpsError(
            "local S3",
            cause=f"moto's server ended with exit status {process.wait()} before it was ready",
            next_step="see its messages above",
        )
    return f"http://{_HOST}:{port.decode()}"


def serve(application: type[Direct] | None = None) -> None:
    """Be the process: print the port, and serve until standard input closes.

    It closes too when the parent is killed. ``application`` answers the requests.
    """
    from moto import backends
    from moto.iam.access_control import PermissionResult
    from moto.moto_server import threaded_moto_server
    from moto.s3.models import FakeBucket, FakeKey

    from ft_ops.sandbox.stores.asked_back import ask_back_by_version
    from ft_ops.sandbox.stores.direct import Direct
    from ft_ops.sandbox.stores.headers import use_plain_headers
    from ft_ops.sandbox.stores.kept_connections import KeptConnection

    class ListedVersion(FakeKey):
        """An object's version in a listing, which leaves the version's body alone."""

        def dispose(self, garbage: bool = False) -> None:
            pass

    def listed(version: FakeKey, _: object) -> ListedVersion:
        # Not by FakeKey's own way, which remembers each one for good.
        twin = object.__new__(ListedVersion)
        vars(twin).update(vars(version))
        return twin

    # moto lists versions by copies of them: with their bodies, of every object of the bucket, and
    # in files that stay open.
    FakeKey.__deepcopy__ = listed  # type: ignore[attr-defined]
    # moto takes the conditions of a bucket's policy for true: a denial of plain HTTP would be one
    # of everything. Policies are kept and shown, and not enforced.
    FakeBucket.get_permission = (  # type: ignore[method-assign]
        lambda self, action, resource: PermissionResult.NEUTRAL
    )
    # moto looks through its own folders at each request, a fifth of what a request costs.
    modules = frozenset(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: modules
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # No collection of garbage looks again through what is loaded.
    gc.collect()
    gc.freeze()
    use_plain_headers()
    ask_back_by_version()
    threaded_moto_server.DomainDispatcherApplication = application or Direct  # type: ignore[attr-defined]
    # Port 0: the kernel chooses a free one, and nobody can take it in between.
    threaded_moto_server.MotoRequestHandler = KeptConnection  # type: ignore[attr-defined]
    server = threaded_moto_server.ThreadedMotoServer(_HOST, port=0, verbose=False)
    server.start()
    # A parent that is gone needs no answer; the closed standard input ends us next.
    with suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), f"{server.get_host_and_port()[1]}\n".encode())
    sys.stdin.buffer.read()
