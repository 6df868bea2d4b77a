"""Chaos: calls to AWS, workers, clocks and vendors of the deployed stack fail at once, and the books must balance."""
