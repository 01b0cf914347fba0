DROP TABLE ops.records_folder;
