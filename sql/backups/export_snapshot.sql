-- Lets another session see what this one sees, for as long as this transaction lasts.
SELECT pg_export_snapshot();
