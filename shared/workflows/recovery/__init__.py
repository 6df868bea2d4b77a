"""Recovery: abandonment found and told, episodes followed to their end, what is counted."""
