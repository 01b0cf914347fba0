-- A table of today's columns and their defaults, without WAL: what is loaded here is a copy.
CREATE UNLOGGED TABLE {scratch} (LIKE {table} INCLUDING DEFAULTS);
