"""An end for every request of boto3: its time-outs are for each wait, and bytes may trickle."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from botocore.client import BaseClient
from botocore.exceptions import HTTPClientError
from botocore.response import StreamingBody

from ft_ops.deadline import NoEnd, call_within
from ft_ops.s3 import silence

T = TypeVar("T")

LONGEST_SECONDS: Final = 600.0
"""What a request may take, with all attempts of boto3 at it: five, of a minute's silence each."""
STALLED_SECONDS: Final = 120.0
"""What a piece of a body may take to arrive: 9 kB a second."""
PIECE_BYTES: Final = 1 << 20


class TooSlow(HTTPClientError):
    """Nothing was silent for long enough to be a time-out, and still there was no end."""

    fmt = "{operation} had no end after {seconds:g} seconds: its bytes trickle or stand still"


class Body(StreamingBody):
    """The content of an answer, each piece of which comes in time or is TooSlow."""

    def __init__(self, body: StreamingBody, operation: str) -> None:
        # The body within counts its bytes and compares its checksum.
        super().__init__(body, None)  # type: ignore[arg-type]  # as boto3 itself makes it
        self._body, self._operation = body, operation

    def read(self, amt: int | None = None) -> bytes:
        """As many bytes, or fewer; all of them when it is not said how many."""
        if amt is None:
            return b"".join(self.iter_chunks(PIECE_BYTES))
        size = min(amt, PIECE_BYTES)
        try:
            return _ended(
                self._operation,
                STALLED_SECONDS,
                lambda: self._body.read(size),
                discard=lambda _: self._body.close(),
            )
        except TooSlow:
            self._hang_up()
            raise

    def _hang_up(self) -> None:
        """Let whoever still reads see an end, and close: a close from here would wait for it."""
        # Both say that the connection has ended already.
        with suppress(ValueError, RuntimeError):
            self._body._raw_stream.shutdown()  # type: ignore[attr-defined]  # botocore's own


class Bounded(BaseClient):
    """What a client of boto3 is made of besides, so that each of its requests has an end."""

    def _make_api_call(self, operation_name: str, api_params: Any) -> Any:
        call = super()._make_api_call  # type: ignore[misc]  # what moto replaces, too
        bucket = api_params.get("Bucket")
        if self.meta.service_model.service_name != "s3" or bucket is None:
            return _answer_to(operation_name, LONGEST_SECONDS, call, api_params)

        def is_there(seconds: float) -> None:
            _answer_to("HeadBucket", seconds, call, {"Bucket": bucket})

        seconds = silence.PROBE_SECONDS if operation_name == "HeadBucket" else LONGEST_SECONDS
        known = silence.silence_of(self.meta.endpoint_url, bucket)
        with known.watched(operation_name, is_there):
            return _answer_to(operation_name, seconds, call, api_params)


def _answer_to(operation: str, seconds: float, call: Callable[..., Any], parameters: Any) -> Any:
    answer = _ended(operation, seconds, lambda: call(operation, parameters), discard=_close_body)
    if isinstance(answer.get("Body"), StreamingBody):
        answer["Body"] = Body(answer["Body"], operation)
    return answer


def bound(base_classes: list[type], **_: object) -> None:
    """A handler of boto3's event creating-client-class."""
    base_classes.insert(0, Bounded)


def _close_body(answer: Any) -> None:
    """Of an answer that came too late, and that nobody reads: its connection would stay open."""
    if isinstance(answer.get("Body"), StreamingBody):
        answer["Body"].close()


def _ended(
    operation: str,
    seconds: float,
    work: Callable[[], T],
    *,
    discard: Callable[[T], object] = lambda _: None,
) -> T:
    try:
        return call_within(seconds, work, discard=discard)
    except NoEnd as error:
        raise TooSlow(operation=operation, seconds=seconds, error=error) from error
