"""How long the screens take, against their targets, and why one is slow."""
