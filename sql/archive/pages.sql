-- How many pages a table has. A look at its file's size; ACCESS SHARE for that moment.
SELECT pg_relation_size(%(table)s::regclass) / current_setting('block_size')::integer AS pages;
