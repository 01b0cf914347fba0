"""The provider pgBackRest: full and incremental backups of a server that we manage ourselves."""
