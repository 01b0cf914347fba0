-- Whether a copy has the row that was committed when this backup was begun.
SELECT EXISTS (SELECT FROM ops.backups WHERE name = %(name)s);
