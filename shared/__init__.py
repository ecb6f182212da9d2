"""What router, services and the CLI share: the manifest, the control store, auth, events and the web kit."""
