-- Lets other sessions read by the very snapshot of this transaction, until it ends.
SELECT pg_export_snapshot();
