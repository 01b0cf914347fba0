ALTER POLICY audit_insert ON audit_log
    WITH CHECK (
        user_id = current_user_id() AND user_id <> '00000000-0000-0000-0000-000000000000'
    );
