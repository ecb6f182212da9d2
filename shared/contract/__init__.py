"""The public contract as code: the route table and the wire models, one module per domain."""
