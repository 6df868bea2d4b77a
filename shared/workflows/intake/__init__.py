"""Intake: webhooks, pulls and orders become checkouts, merged as they arrive."""
