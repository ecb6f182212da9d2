"""The control store: facts that a command changes, and how processes follow them."""
