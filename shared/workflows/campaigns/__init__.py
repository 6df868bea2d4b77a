"""Campaigns: set up, started, run; each step sent at most once; who may not be written to."""
