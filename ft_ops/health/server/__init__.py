"""What befalls the server and its catalog beside what migrations make."""
