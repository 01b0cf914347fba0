-- Whether the session's user may SET ROLE to a role, which need not exist. Catalog only. On
-- PostgreSQL 15 every member may.
SELECT coalesce(
    pg_has_role(
        session_user,
        to_regrole(%(role)s),
        CASE
            WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET'
            ELSE 'MEMBER'
        END
    ),
    false
);
