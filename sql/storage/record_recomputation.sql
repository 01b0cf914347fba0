-- One row a run; its newest names the snapshot of all totals.
INSERT INTO ops.storage_recomputations (
    kind, snapshot, lsn, taken_at, months, recomputed, disagreements, examples, run_id
)
VALUES (
    %(kind)s, %(snapshot)s, %(lsn)s, %(taken_at)s, %(months)s, %(recomputed)s,
    %(disagreements)s, %(examples)s, %(run_id)s
);
