-- Months that are asked back from Glacier or stand in the database again.
SELECT t.month, t.state, t.purpose, t.expires_at
FROM ops.thaws AS t
WHERE t.state NOT IN ('done', 'cancelled')
ORDER BY t.month;
