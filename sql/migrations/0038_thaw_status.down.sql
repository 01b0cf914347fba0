DROP VIEW ops.thaw_status;
