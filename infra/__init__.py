"""Checkback's infrastructure: the CDK app, its bundles, and the local engine."""
