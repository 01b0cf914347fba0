"""Transactions that an interruption ends, wherever it comes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.rows import TupleRow
from psycopg.transaction import OutOfOrderTransactionNesting


class InterruptibleConnection(psycopg.Connection[TupleRow]):
    """A connection whose transactions let an interruption through.

    One that comes while a nested transaction begins leaves psycopg with a wrong count of them. The
    outer one then complains of that instead, as of any statement: work on many items would go on
    with the next, in a transaction that nobody commits.
    """

    @contextmanager
    def transaction(
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> Iterator[psycopg.Transaction]:
        try:
            with super().transaction(savepoint_name, force_rollback) as begun:
                yield begun
        except OutOfOrderTransactionNesting as error:
            hidden: BaseException | None = error
            while isinstance(hidden, Exception):
                hidden = hidden.__context__
            if hidden is None:
                raise
            raise hidden from error
