"""The migrate command: plans and steps that move a monolith to services, and back."""
