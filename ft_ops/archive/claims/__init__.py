"""Which database may write into an archive's folder, and who follows whom."""
