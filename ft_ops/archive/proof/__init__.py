"""The third step reads the stored bytes back, loads them, and compares them with the database."""
