"""What the bucket records of the archive, and how it comes there."""
