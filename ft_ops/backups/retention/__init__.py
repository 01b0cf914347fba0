"""Which backups stay, and the deletion of the others."""
