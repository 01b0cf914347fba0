"""The schema: migrations in sqlx's format and ledger, extensions, roles, drift."""

from ft_ops.schema.extensions import ExtensionOutcome, install_extensions
from ft_ops.schema.migrations import (
    Migration,
    MigrationState,
    load_migrations,
    migration_states,
    revert_migration,
    run_migrations,
)

__all__ = [
    "ExtensionOutcome",
    "Migration",
    "MigrationState",
    "install_extensions",
    "load_migrations",
    "migration_states",
    "revert_migration",
    "run_migrations",
]
