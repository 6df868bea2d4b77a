"""Answers other people's clients: Shopify's GraphQL Admin way of reading abandoned checkouts, and Wix' REST way."""
