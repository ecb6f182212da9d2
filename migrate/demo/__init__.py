"""The demonstration: client load through the router while a service's flags move, and the report about it."""
