"""Edge policies of routes: what teams put a gateway in front of their apps for; all optional."""
