-- Links that only a month which leaves again has brought.
DELETE FROM ops.waiting_links
WHERE thawed_month = %(month)s;
