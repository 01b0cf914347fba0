-- CASCADE: its triggers, on months that stand alone. A removal that has counted by them sees that they are gone.
DROP FUNCTION ops.keep_counted_row() CASCADE;
