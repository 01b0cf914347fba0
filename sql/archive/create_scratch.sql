-- A table of the same columns and nothing else, without WAL: what is loaded here is a copy.
CREATE UNLOGGED TABLE {scratch} (LIKE {table});
