"""Delivering: endpoints, their health, and what is handed over to them."""
