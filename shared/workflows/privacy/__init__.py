"""Privacy: a customer's export and erasure, a merchant's erasure."""
