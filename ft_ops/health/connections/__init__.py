"""Who is connected, who waits for whom, and what replication holds back."""
