"""Asks providers' APIs: contents that webhooks only point to, and pages of backfills."""
