"""Checkback's command line: a client of its API alone, that knows nothing of AWS and nothing of the service's code."""
