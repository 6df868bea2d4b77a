"""Destinations: one module per kind. ``registry`` finds them; nothing else knows a kind by name."""
