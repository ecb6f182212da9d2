"""Phases of a migration on a host: what is done in which order, what proves it, how to go back."""
