DROP TABLE ops.table_activity;
