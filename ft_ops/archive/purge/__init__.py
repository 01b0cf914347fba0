"""The fourth step: every gate, and the removal of a proven month in small batches."""
