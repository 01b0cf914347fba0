"""The sequence that tells the triggers which kinds of holds stand: see 0011_legal_holds."""

from __future__ import annotations

from ft_ops.errors import OpsError
from ft_ops.pg.connect import Connection
from ft_ops.pg.session import stay_open
from ft_ops.pg.sqlfiles import statement


def refuse_silenced(connection: Connection) -> None:
    """An OpsError unless the triggers that refuse know which kinds of holds stand.

    They ask a sequence. A server that was filled by logical replication has its first value, and
    the owner may set another: then they let pass what is held.
    """
    with connection.transaction():
        # In this order: who places or releases one sets the sequence before others see the hold.
        [[told]] = connection.execute(statement("archive/what_triggers_ask")).fetchall()
        [[standing]] = connection.execute(statement("archive/kinds_that_stand")).fetchall()
    if standing & ~told:
        raise OpsError(
            "legal holds",
            cause="what stands is not asked for, and what is held can be deleted: "
            f"ops.standing_holds says {told}, and {standing} stand",
            next_step="run SELECT ops.count_holds() as the operations' role, find out who has set "
            "that sequence, and what was deleted since",
        )


def keep_out_holds(connection: Connection) -> None:
    """Let nobody place or release a hold until our open transaction ends; others are not kept.

    That may last as long as an object store takes to answer.
    """
    stay_open(connection)
    connection.execute(statement("archive/what_triggers_ask")).fetchall()
