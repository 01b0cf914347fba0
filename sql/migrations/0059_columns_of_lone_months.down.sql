DROP TABLE ops.lone_columns;
