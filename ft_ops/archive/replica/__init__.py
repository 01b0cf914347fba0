"""The archive's second bucket: filled with what it lacks, compared daily, and mended from."""
