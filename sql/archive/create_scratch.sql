-- A table of an archive's columns and nothing else, without WAL: what is loaded here is a copy.
CREATE UNLOGGED TABLE {scratch} ({columns});
