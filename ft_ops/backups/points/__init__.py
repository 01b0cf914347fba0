"""Points that a backup can be restored to, with the fingerprint of every table at them."""
