"""Headers read without a mail's parser are those that the standard library reads."""

from __future__ import annotations

from http.client import HTTPException, HTTPMessage
from io import BytesIO

import pytest

from ft_ops.sandbox.stores import headers

_LONG = b"x" * 65536


def _read(parse: object, said: bytes) -> object:
    """What was read, and what is left; or how it was refused."""
    assert callable(parse)
    sent = BytesIO(said)
    try:
        message: HTTPMessage = parse(sent)
    except HTTPException as refusal:
        return repr(refusal)
    return message.items(), [*map(repr, message.defects)], message.get_payload(), sent.read()


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\r\nbody",
        b'Host: here\r\nETag:"1"\r\nx-amz-meta-a_b:  two  \r\n\r\nbody',
        b"Twice: 1\r\nTWICE: 2\r\nEmpty:\r\n\r\n",
        b"Name: \xe9\xff\r\n\n",
        b"Folded: one\r\n two\r\nLast: 3\r\n\r\n",
        b" begins: folded\r\nLast: 3\r\n\r\n",
        b"no colon\r\nLast: 3\r\n\r\n",
        b"with space : 1\r\nLast: 3\r\n\r\n",
        b"Cut: off",
        b"Long: " + _LONG + b"\r\n\r\n",
        b"".join(b"N%d: 1\r\n" % n for n in range(99)) + b"\r\nbody",
        b"".join(b"N%d: 1\r\n" % n for n in range(101)) + b"\r\n",
    ],
    ids=lambda said: said[:20].decode("latin-1"),
)
def test_they_are_the_same(said: bytes) -> None:
    assert _read(headers.parse_headers, said) == _read(headers._as_mail, said)
