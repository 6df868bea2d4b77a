"""Insight: checkouts looked up, links followed, figures."""
