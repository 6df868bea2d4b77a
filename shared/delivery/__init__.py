"""Delivery: signing, the retry schedule, outcomes, and the guarded way out to other people's servers."""
