"""When an adoption takes over the claims that another database has made on the archive.

A database that was recovered, rebuilt or upgraded stands in the place of the one that has made the
newest claims: what these name is adopted. A database that is by all signs the very one that made
its last claim has not been set back; claims behind that one are a copy's, and what the copy has
recorded is not true of this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ft_ops.archive.claims.claim import Own, identity_of, is_own, own_claim, take_over
from ft_ops.archive.claims.records import Claim, Claims, Identity, claim_key
from ft_ops.archive.run import ClaimedFolder
from ft_ops.errors import Refused
from ft_ops.items import Failed, SomeFailed
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class Succession:
    """What an adoption does about the claims: ``changes`` in words, none where nothing is to do.

    ``problems``: why nobody may adopt anything before a person has decided.
    """

    last: Claim | None
    disowned: tuple[int, ...]
    changes: tuple[str, ...]
    problems: tuple[Failed, ...]

    def refuse_problems(self) -> None:
        """An OpsError that names what a person has to decide, or to mend, first."""
        if self.problems:
            raise SomeFailed("adoption of the archive", 0, self.problems)

    def claim(self, folder: ClaimedFolder) -> None:
        """Claim the folder behind everybody."""
        take_over(folder, self.last, self.disowned)


def succession(
    folder: ClaimedFolder, claims: Claims, disown: Sequence[int], *, take_over: bool = False
) -> Succession:
    """How this database stands to the claims of its archive's folder.

    ``disown`` may name claims that another database has made behind this one's last; Refused for
    any other. Where this database was not set back, as far as it can tell, it says which of them
    count: all of them with ``take_over``, else those that it does not disown must be none.
    """
    own, now = own_claim(folder), identity_of(folder)
    newer = [found for found in claims.known if found.number > own.number]
    others = [found for found in newer if not is_own(folder, found)]
    strange = sorted(set(disown) - {found.number for found in others})
    if strange:
        raise Refused(
            f"claim {strange[0]} of the archive",
            cause="it is not one that another database has made behind the last claim of this one",
            next_step="see by `ft-ops archive adopt` which claims there are",
        )
    problems = list(claims.unread)
    followed = [found for found in others if found.number not in disown]
    stands = _stands(folder, claims, own, now)
    if followed and stands and not take_over:
        problems.append(
            Failed(
                f"claims {_numbers(followed)} of the archive",
                f"another database has made them behind what this one has recorded (its last claim "
                f"is {own.number}), which is {now} and knows of no recovery: {followed[-1]}",
                "if the other one is a copy that writes into this archive by mistake, stop it, and "
                "disown what it has recorded: ft-ops archive adopt "
                + " ".join(f"--disown {found.number}" for found in followed)
                + " --apply. If this database was set back all the same (by a snapshot of its "
                "disk, or to before there were claims), adopt it: ft-ops archive adopt "
                "--take-over --apply",
            )
        )
    last = max(newer, key=lambda found: found.number, default=None)
    moved = own.identity is not None and own.identity != now.bare
    changes = []
    if others:
        changes.append(f"this database claims the archive, which was claimed by {others[-1]}")
    elif moved:
        changes.append(
            f"this database claims the archive anew: it is {now}, and was on system identifier "
            f"{own.identity.system_identifier if own.identity else ''}, timeline "
            f"{own.identity.timeline if own.identity else ''} at its claim {own.number}"
        )
    changes += _lost(folder, claims, own)
    if disown:
        changes.append(f"what claims {_numbers(others, disown)} have recorded is disowned")
    if last is None and own.number:
        last = next((found for found in claims.known if found.number == own.number), None)
    return Succession(
        last,
        tuple(sorted(claims.disowned(disown))),
        tuple(changes),
        tuple(problems),
    )


def _stands(folder: ClaimedFolder, claims: Claims, own: Own, now: Identity) -> bool:
    """Whether this is by all signs the very database that has recorded last in this folder.

    One that has never claimed may have recorded there before there were claims.
    """
    if own.identity is None:
        known = folder.connection.execute(statement("archive/records_folder")).fetchone()
        return known == (folder.bucket.name, folder.root)
    made = next((c.database.bare for c in claims.known if c.sha256 == own.sha256), own.identity)
    return made == now.bare


def _lost(folder: ClaimedFolder, claims: Claims, own: Own) -> Iterator[str]:
    """In words, the claims behind this database's last that are not there, though later ones are.

    Those that can't be read are problems, and no part of this.
    """
    unread = {failed.name for failed in claims.unread}
    for number in claims.lost(own.number):
        if folder.bucket.url(claim_key(folder.root, number)) not in unread:
            yield (
                f"claim {number} is not there, though a later one is: who made it is not known, "
                "and what was recorded under it counts"
            )


def _numbers(some: Sequence[Claim], only: Sequence[int] | None = None) -> str:
    numbers = [found.number for found in some if only is None or found.number in only]
    return ", ".join(map(str, numbers))
