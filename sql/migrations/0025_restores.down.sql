DROP TABLE ops.withdrawn_erasures;
DROP TABLE ops.restores;
