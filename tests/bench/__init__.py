"""Measurements of delivery: ``make bench`` prints them."""
