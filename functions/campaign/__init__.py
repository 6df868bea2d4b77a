"""Runs merchants' scheduled campaigns, and repairs their schedules."""
