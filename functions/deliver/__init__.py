"""Delivers what the queues hold to the merchants' endpoints."""
