"""An end for what a library gives none, told as what it is."""

from __future__ import annotations

from collections.abc import Callable

from ft_ops.deadline import NoEnd, call_one_within
from ft_ops.errors import OpsError


def within(seconds: float, what: str, work: Callable[[], None]) -> None:
    """Do ``work``; an OpsError about ``what`` when it failed, or has not ended by then.

    Whether what hangs gets through later is not known: what was told may then be told twice, and
    is never taken for told. While it hangs, nothing more is begun under the same name.
    """
    try:
        call_one_within(seconds, what, work)
    except OpsError:
        raise
    except NoEnd as error:
        raise OpsError(
            what, cause=str(error), next_step="see whether its host answers; it is tried again"
        ) from None
    except Exception as error:  # noqa: BLE001  of whatever it is, its text may quote a secret
        raise OpsError(
            what,
            cause=type(error).__name__,
            next_step="look at the setting of this channel; it is tried again",
        ) from None
