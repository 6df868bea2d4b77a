"""Takes vendors' status webhooks: what became of a message after the vendor accepted it."""
