-- SHARE UPDATE EXCLUSIVE on the table, and a wait for the transactions that use it. Outside a
-- transaction only.
DROP INDEX CONCURRENTLY IF EXISTS {index};
