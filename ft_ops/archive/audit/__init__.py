"""The audit log's months in the archive: a table without children, by the archive's own steps."""
