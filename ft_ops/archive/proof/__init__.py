"""The third step: the stored bytes are read back, loaded, and compared with the database."""
