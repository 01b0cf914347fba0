-- name: write_audit
-- One row in the current month's partition.
INSERT INTO audit_log (user_id, action, table_name, new_values, user_agent)
VALUES (
    %(user_id)s, %(action)s, %(table_name)s, %(details)s, current_setting('application_name')
);
