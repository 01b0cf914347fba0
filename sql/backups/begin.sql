-- One row.
INSERT INTO ops.backups (name, kind, provider, state, run_id)
VALUES (%(name)s, %(kind)s, %(provider)s, 'taking', %(run_id)s);
