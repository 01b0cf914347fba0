-- SHARE UPDATE EXCLUSIVE on the table: reads and writes go on. Waits three times for transactions
-- that use the table, and once for every snapshot of the database that is older. Outside a
-- transaction only; interrupted, it leaves an invalid index with _ccnew or _ccold in its name.
REINDEX INDEX CONCURRENTLY {index};
