"""Idempotency keys of the public contract (1.9), shared by every app through one table."""
