"""Takes providers' webhooks in: POST /hooks/{source_id} and /hooks/{source_id}/{event}."""
