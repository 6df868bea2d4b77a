"""The merchant API's edge: request models, problem details, authentication, idempotency, cursors."""
