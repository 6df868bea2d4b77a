"""Moves what is due: run by the minute schedule, for one shard of one kind or for all of them."""
