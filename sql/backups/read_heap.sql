-- What every index of a table should hold, from one scan of the table.
SELECT {columns}
FROM ONLY {table};
