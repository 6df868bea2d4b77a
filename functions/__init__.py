"""Lambda functions: a thin handler each."""
