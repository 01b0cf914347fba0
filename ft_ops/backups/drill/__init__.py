"""Restore drills: a backup is restored in isolation, and the copy is checked."""
