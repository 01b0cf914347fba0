"""The one error an operator sees: what failed, why, and what to do next."""

from __future__ import annotations

import re

_PASSWORD_IN_URL = re.compile(r"(?P<head>[a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s@]*@", re.IGNORECASE)
_PASSWORD_IN_KEYWORDS = re.compile(
    r"(?P<key>(?:sslpassword|password|aws_secret_access_key|aws_session_token)\s*=\s*)"
    r"(?:'(?:[^'\\]|\\.)*'|[^\s&'\"]+)",
    re.IGNORECASE,
)


class OpsError(Exception):
    """Something that an operator has to act on.

    ``what`` names the thing that failed, ``cause`` says why, ``next_step`` what to do about it.
    All three are masked: a database URL may be quoted, its password never gets through.
    """

    def __init__(self, what: str, *, cause: str, next_step: str) -> None:
        self.what = mask_secrets(what)
        self.cause = mask_secrets(cause)
        self.next_step = mask_secrets(next_step)
        super().__init__(f"{self.what}: {self.cause}. Next: {self.next_step}")


class Refused(OpsError):
    """A gate said no. Nothing was changed, and trying again will not help by itself."""


def mask_secrets(text: str) -> str:
    """Replace passwords in URLs and in libpq keyword strings by ``***``."""
    masked = _PASSWORD_IN_URL.sub(r"\g<head>:***@", text)
    return _PASSWORD_IN_KEYWORDS.sub(r"\g<key>***", masked)
