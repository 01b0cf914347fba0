"""The provider barman-cloud: backups and WAL of a server that we run ourselves."""
