"""Events of the product: out of the outbox, through the broker, into the domains' handlers."""
