-- One row, unless there is one already.
INSERT INTO ops.backups (name, kind, provider, state, started_at, run_id)
VALUES (%(name)s, %(kind)s, %(provider)s, 'taking', %(started_at)s, %(run_id)s)
ON CONFLICT (name) DO NOTHING;
