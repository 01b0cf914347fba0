-- Into a table that stands alone. Its foreign keys take KEY SHARE locks on threads and users: who
-- erases one of them waits for this transaction, or this one for him.
INSERT INTO {archived} ({columns})
SELECT {segment_columns}
FROM {segments} AS s
JOIN thaw_verdicts AS v ON v.id = s.id AND v.left_out IS NULL;
