"""What the archive costs, by a price list with a date."""
