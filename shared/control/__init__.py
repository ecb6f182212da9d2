"""The control store: durable facts that a command changes (flags, placements, phases), and how processes follow them."""
