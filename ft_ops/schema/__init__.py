"""The schema: migrations in sqlx's format and ledger, extensions, roles, drift."""

from ft_ops.schema.drift import Difference, differences
from ft_ops.schema.extensions import ExtensionOutcome, install_extensions
from ft_ops.schema.fingerprint import (
    UNREAD,
    Fingerprint,
    expected_fingerprint,
    fingerprint_json,
    fingerprint_version,
    read_fingerprint,
    read_whole_fingerprint,
)
from ft_ops.schema.hypertable import ensure_hypertable
from ft_ops.schema.migrations import (
    Migration,
    MigrationState,
    load_migrations,
    migration_states,
    migration_to_revert,
    revert_migration,
    run_migrations,
)
from ft_ops.schema.server import ServerFacts, server_facts

__all__ = [
    "UNREAD",
    "Difference",
    "ExtensionOutcome",
    "Fingerprint",
    "Migration",
    "MigrationState",
    "ServerFacts",
    "differences",
    "ensure_hypertable",
    "expected_fingerprint",
    "fingerprint_json",
    "fingerprint_version",
    "install_extensions",
    "load_migrations",
    "migration_states",
    "migration_to_revert",
    "read_fingerprint",
    "read_whole_fingerprint",
    "revert_migration",
    "run_migrations",
    "server_facts",
]
