-- Completes the open segment, so that it is archived; nothing happens when it is empty.
SELECT pg_switch_wal();
