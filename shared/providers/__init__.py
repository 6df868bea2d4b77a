"""Checkout providers: one module each, found by name in the registry. Nothing else knows a provider by name."""
