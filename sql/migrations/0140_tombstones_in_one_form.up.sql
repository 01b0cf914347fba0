-- A tombstone names a shared row by the text of its key, and an archive is asked for that text in a session of the
-- operations, which pins how values are written. The trigger wrote it as the application's session wrote values: in
-- another time zone, say, and then the row that was deleted came back with the next thaw. What holds look for is told
-- by values, too, and a real number loses digits on the way where the session writes fewer.
ALTER FUNCTION ops.record_erased_row()
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, MDY' SET IntervalStyle = 'postgres' SET extra_float_digits = '1'
    SET bytea_output = 'hex' SET lc_monetary = 'C';
ALTER FUNCTION ops.forget_erased_row()
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, MDY' SET IntervalStyle = 'postgres' SET extra_float_digits = '1'
    SET bytea_output = 'hex' SET lc_monetary = 'C';
ALTER FUNCTION ops.record_moved_row()
    SET TimeZone = 'UTC' SET DateStyle = 'ISO, MDY' SET IntervalStyle = 'postgres' SET extra_float_digits = '1'
    SET bytea_output = 'hex' SET lc_monetary = 'C';
ALTER FUNCTION ops.refuse_held_row() SET extra_float_digits = '1';
ALTER FUNCTION ops.hold_around(regclass, jsonb, boolean) SET extra_float_digits = '1';
ALTER FUNCTION ops.hold_below_thread(uuid) SET extra_float_digits = '1';
