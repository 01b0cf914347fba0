"""Whether an endpoint answers: found out once for all requests that would wait for it in turn.

A request without an answer says little: a copy may take long, one key may be in trouble. So the
next one asks first whether the bucket is there, which is little work for an endpoint. Where nothing
is said to that either, the endpoint is silent: what is asked of it in the next seconds is refused
at once, and a look at a thousand objects names each and is over. All clients of a process share it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from time import monotonic, sleep
from typing import Final

from botocore.exceptions import ClientError, ConnectTimeoutError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection

from ft_ops.clock import utc_now

PROBE_SECONDS = 40.0
"""How long the question whether the bucket is there may take: whoever waits for an endpoint that
says nothing, a person or a pool of runs, learns it soon. An endpoint that was started anew is up
again by then."""
ASKED_AGAIN_SECONDS: Final = 30.0
"""How long a silent endpoint is left alone."""
_PAUSE_SECONDS: Final = 1.0
_OF_THE_SERVICE: Final = frozenset({429, 500, 502, 503, 504})
_ENDS: Final = (HTTPClientError, NoConnection, ClientError)
"""How a request ends without what it asked for: who can't connect is no HTTPClientError."""


class NotAsked(HTTPClientError):
    """A request that was not sent, because its endpoint answers nothing."""

    fmt = "{operation} was not asked: {endpoint} has answered nothing since {since}, last: {error}"


class EndpointSilence:
    """What is known of the silence of one bucket at its endpoint."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._asking = threading.Lock()
        self._doubt: tuple[datetime, Exception] | None = None
        self._asked_again_at = 0.0

    @contextmanager
    def watched(self, operation: str, ask: Callable[[float], object]) -> Iterator[None]:
        """A request: NotAsked while the endpoint is silent, else its end says whether it answers.

        ``ask`` asks, within as many seconds, whether the bucket is there.
        """
        if self._doubt is not None:
            self._refuse_silent(operation, ask)
        try:
            yield
        except _ENDS as error:
            if not _says_nothing(error):
                self._doubt = None
            elif self._doubt is None:
                self._doubt = utc_now(), error
                # An earlier silence says nothing about this one.
                self._asked_again_at = 0.0
            raise
        self._doubt = None

    def _refuse_silent(self, operation: str, ask: Callable[[float], object]) -> None:
        # The others wait for the answer to this one question.
        with self._asking:
            doubt = self._doubt
            if doubt is None:
                return
            if monotonic() >= self._asked_again_at:
                if _answered(ask):
                    self._doubt = None
                    return
                self._asked_again_at = monotonic() + ASKED_AGAIN_SECONDS
            since, error = doubt
            raise NotAsked(
                operation=operation,
                endpoint=self._endpoint,
                since=f"{since:%H:%M:%S} UTC",
                error=error,
            )


def _answered(ask: Callable[[float], object]) -> bool:
    end = monotonic() + PROBE_SECONDS
    while (left := end - monotonic()) > 0:
        try:
            ask(left)
        except _ENDS as error:
            if not _says_nothing(error):
                return True
            if isinstance(error, NoConnection) and not isinstance(error, ConnectTimeoutError):
                return False  # refused, after all attempts: there is nobody to wait for
            sleep(min(_PAUSE_SECONDS, left))
        else:
            return True
    return False


def _says_nothing(error: Exception) -> bool:
    """Whether nobody knows from an error whether the endpoint can answer at all."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status in _OF_THE_SERVICE
    return True


_known: dict[tuple[str, str], EndpointSilence] = {}
_looking_up = threading.Lock()


def silence_of(endpoint: str, bucket: str) -> EndpointSilence:
    """What this process knows of a bucket at an endpoint."""
    with _looking_up:
        return _known.setdefault((endpoint, bucket), EndpointSilence(endpoint))
