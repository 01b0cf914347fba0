ALTER FUNCTION ops.record_erased_row()
    RESET TimeZone RESET DateStyle RESET IntervalStyle RESET extra_float_digits RESET bytea_output RESET lc_monetary;
ALTER FUNCTION ops.forget_erased_row()
    RESET TimeZone RESET DateStyle RESET IntervalStyle RESET extra_float_digits RESET bytea_output RESET lc_monetary;
ALTER FUNCTION ops.record_moved_row()
    RESET TimeZone RESET DateStyle RESET IntervalStyle RESET extra_float_digits RESET bytea_output RESET lc_monetary;
ALTER FUNCTION ops.refuse_held_row() RESET extra_float_digits;
ALTER FUNCTION ops.hold_around(regclass, jsonb, boolean) RESET extra_float_digits;
ALTER FUNCTION ops.hold_below_thread(uuid) RESET extra_float_digits;
