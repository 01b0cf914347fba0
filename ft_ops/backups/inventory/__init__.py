"""Which backups there are, what was proven of them, and whether they meet their objectives."""
