"""The HTTP side of every service: one `create_service_app` gives the conventions of the contract."""
