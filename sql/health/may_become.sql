-- Whether the session's user may SET ROLE to a role, which need not exist. Catalog only.
SELECT coalesce(pg_has_role(session_user, to_regrole(%(role)s), 'SET'), false);
