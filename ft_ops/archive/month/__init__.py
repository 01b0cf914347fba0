"""What an archived month is: its content, its digest, its row in the ledger, and who holds it."""
