"""Reads the table's stream and tells committed transitions to the merchants' endpoints."""
