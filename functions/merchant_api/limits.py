"""How many of a thing a merchant may have."""

MOST_SOURCES = 100
MOST_ENDPOINTS = 50
MOST_TOKENS = 50
MOST_POOLS = 50
