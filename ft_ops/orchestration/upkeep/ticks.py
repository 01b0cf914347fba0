"""A tick of a sensor ends, whatever it asks: the code server has few threads for all of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from ft_ops.deadline import NoEnd, call_one_within
from ft_ops.errors import OpsError
from ft_ops.orchestration.resources import as_failure

P = ParamSpec("P")
T = TypeVar("T")

TICK_SECONDS: Final = 50.0
"""The daemon waits for a minute, and then asks again while the tick before still hangs: after
some of them no thread was left for any schedule."""


def ending(evaluate: Callable[P, T]) -> Callable[P, T]:
    """The same function of a sensor, whose tick fails when it has not ended in time.

    While it hangs, the next ticks fail at once.
    """

    @wraps(evaluate)
    def tick(*args: P.args, **kwargs: P.kwargs) -> T:
        name = evaluate.__name__
        with as_failure():
            try:
                return call_one_within(TICK_SECONDS, name, lambda: evaluate(*args, **kwargs))
            except NoEnd as error:
                raise OpsError(
                    f"sensor {name}",
                    cause=str(error),
                    next_step="see whether the database and S3 answer (ft-ops doctor); it looks "
                    "again at its next tick",
                ) from error

    return tick
