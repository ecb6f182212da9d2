"""A first manifest from what a team has: an OpenAPI document, a Kong declarative file, an nginx config."""
