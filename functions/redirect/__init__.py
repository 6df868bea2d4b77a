"""Answers shoppers: GET /r/{code} leads back to the checkout."""
