"""The old API, whole, on one PostgreSQL database; it imports nothing from the other packages."""
