DROP TABLE ops.earlier_segments;
