"""Who may see a family is what it is today: a copy lets nobody in who was shut out since."""

from __future__ import annotations

from ft_ops.restore import Decisions
from tests.restore.test_restore import states
from tests.restore.world import World

DELETIONS = {
    "family_members": "DELETE FROM family_members WHERE user_id = %s",
    "family_invites": "DELETE FROM family_invites WHERE accepted_by = %s",
}
CHANGES = (
    "UPDATE family_members SET is_active = false WHERE user_id = %s",
    "UPDATE family_invites SET accepted_at = now() WHERE accepted_by = %s",
)
EVERYBODY = Decisions(overwrite_changed=True, removed_members=True)


def test_who_was_taken_out_stays_out_and_a_withdrawn_invitation_withdrawn(world: World) -> None:
    member, before = world.users[1], world.family(0)
    with world.copied() as copy:
        for query in DELETIONS.values():
            world.execute(query, member)
        world.execute("DELETE FROM content_tags WHERE tagged_by = %s", member)
        kept = world.family(0)
        plan = world.restore(copy)
        assert states(plan, "family_members") == {"removed": 1, "same": 1}
        assert states(plan, "family_invites") == {"removed": 1}
        assert plan.inserts == 8
        assert world.family(0) == {**kept, "content_tags": before["content_tags"]}
        # Nor by himself, nor with what was changed.
        overwrite = Decisions(overwrite_changed=True)
        assert world.restore(copy, decisions=overwrite).inserts == 0
        himself = world.restore(copy, kind="user", subject=member, decisions=overwrite)
        assert himself.inserts == 0
        assert world.restore(copy, decisions=EVERYBODY).inserts == 2
        assert world.family(0) == before


def test_what_was_changed_of_a_membership_stays_unless_it_is_named(world: World) -> None:
    member, before = world.users[1], world.family(0)
    with world.copied() as copy:
        for query in CHANGES:
            world.execute(query, member)
        changed = world.family(0)
        plan = world.restore(copy, decisions=Decisions(overwrite_changed=True))
        assert plan.overwrites == 0
        assert world.family(0) == changed
        assert world.restore(copy, decisions=EVERYBODY).overwrites == 2
        assert world.family(0) == before


def test_a_family_that_was_deleted_brings_its_members_and_invitations(world: World) -> None:
    family, before = world.families[0], world.family(0)
    mistake = Decisions(mistakes=frozenset({family}), reason="the owner says so")
    with world.copied() as copy:
        world.execute("DELETE FROM families WHERE id = %s", family)
        plan = world.restore(copy, decisions=mistake)
        assert states(plan, "family_members") == {"missing": 2}
        assert states(plan, "family_invites") == {"missing": 1}
        assert world.family(0) == before
