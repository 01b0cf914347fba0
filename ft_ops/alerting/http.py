"""One request over HTTP to an address that is a secret: it is never quoted, and never followed."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from urllib.parse import urlsplit

from ft_ops.errors import OpsError

TIMEOUT_SECONDS = 8


def request(
    url: str, setting: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> None:
    """GET ``url``, or POST ``body`` to it; an OpsError that names ``setting`` unless it is a 2xx.

    A redirect is an answer like any other: following it could hand the body to somebody else.
    """
    if urlsplit(url).scheme not in {"http", "https"}:
        raise OpsError(setting, cause="it is no http or https URL", next_step="correct it")
    asked = urllib.request.Request(
        url, data=body, headers={"Content-Type": "application/json", **(headers or {})}
    )
    try:
        with urllib.request.build_opener(_NoRedirects).open(asked, timeout=TIMEOUT_SECONDS):
            return
    except urllib.error.HTTPError as error:
        error.close()
        cause = f"HTTP {error.code} {error.reason}"
    except OSError as error:
        cause = f"{type(error).__name__}: {getattr(error, 'reason', error)}"
    except (HTTPException, ValueError) as error:
        cause = type(error).__name__
    # The library's own exception may quote the URL: it is neither told nor chained.
    raise not_taken(f"the address in {setting}", setting, cause)


def not_taken(what: str, setting: str, cause: str) -> OpsError:
    """The error for something that was sent and not accepted."""
    return OpsError(
        what,
        cause=cause,
        next_step=f"check {setting} and whether its host can be reached; it is tried again",
    )


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None
