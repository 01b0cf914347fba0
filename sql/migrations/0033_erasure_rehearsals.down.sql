DROP TABLE ops.erasure_rehearsals;
