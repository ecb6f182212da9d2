"""The proxy that owns the public host and sends each route to one side by its flag."""
