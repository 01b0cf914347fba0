"""FamilyTales operations: schema, partitions, archive, storage, maintenance and backups."""
