"""S3's requests go to moto's S3 itself: Flask and the search for a service are a quarter of each.

What is not signed for S3, or names no bucket, takes moto's own way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.core.request import Request
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.s3.responses import S3Response
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from ft_ops.sandbox.stores.asked_back import VERSION


class _Request(Request):
    from_wsgi_server = True


class Direct(DomainDispatcherApplication):
    """The application of WSGI that decides which way a request takes."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer one request."""
        answer_to = _for_s3(environ)
        if answer_to is None:
            return super().__call__(environ, start_response)
        request = _Request(environ)
        VERSION.set(request.args.get("versionId"))
        try:
            status, headers, content = answer_to(request, request.raw_url, dict(request.headers))
        except HTTPException as refusal:
            return refusal.get_response(environ)(environ, start_response)
        answer = Response(content, status, headers)
        if request.method == "HEAD" and "content-length" in headers:
            # Of the content that is not sent.
            answer.headers["Content-Length"] = headers["content-length"]
        return answer(environ, start_response)


def _for_s3(environ: dict[str, Any]) -> Callable[..., Any] | None:
    """Moto's own function for a bucket, or for an object, named in the path."""
    if "/s3/aws4_request" not in environ.get("HTTP_AUTHORIZATION", ""):
        return None
    bucket, _, key = environ["PATH_INFO"].removeprefix("/").partition("/")
    if not bucket or "s3-control" in environ["HTTP_HOST"]:
        return None
    return S3Response.key_dispatch if key else S3Response.ambiguous_dispatch
