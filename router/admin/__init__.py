"""The internal port: health, metrics, state, explanations; never reachable through the public port."""
