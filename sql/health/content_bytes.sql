-- Bytes of content by month, as the last recomputation of storage left them.
SELECT m.month, m.bytes FROM ops.storage_months AS m WHERE m.month >= %(first)s;
