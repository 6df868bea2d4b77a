"""Answers merchants and operators: /v1/*, /healthz, /openapi.json and /docs."""
