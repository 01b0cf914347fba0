-- The unique index thaws_one_at_a_time lets only one of two concurrent runs in.
INSERT INTO ops.thaws (
    month, purpose, family_id, state, generations, tier, days, estimate, run_id
)
VALUES (
    %(month)s, %(purpose)s, %(family_id)s, 'restoring', %(generations)s, %(tier)s, %(days)s,
    %(estimate)s, %(run_id)s
);
