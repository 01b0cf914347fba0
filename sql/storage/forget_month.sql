-- A month that has left content_segments.
DELETE FROM ops.storage_months WHERE month = %(month)s;
