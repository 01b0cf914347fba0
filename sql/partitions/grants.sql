-- name: keep_to_owner
-- Takes from everybody else what default privileges grant on a table that was just made: a partition has
-- no policies of its own, and neither has a copy of one. In the transaction that has made the table;
-- reads its row of the catalog.
DO $keep$
DECLARE
    whom text;
BEGIN
    FOR whom IN
        SELECT DISTINCT
            CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
        FROM pg_class AS c
        CROSS JOIN LATERAL aclexplode(c.relacl) AS a
        WHERE c.oid = {table}::regclass
          AND a.grantee <> c.relowner
    LOOP
        EXECUTE 'REVOKE ALL ON ' || {table} || ' FROM ' || whom;
    END LOOP;
END
$keep$;
