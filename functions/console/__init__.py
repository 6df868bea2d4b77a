"""The merchant console: pages over the merchant API, served by the stack itself."""
