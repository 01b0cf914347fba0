"""What becomes of each copied row, and why one stays out."""
