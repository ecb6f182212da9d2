"""Rate limits: the buckets of the public contract and their counters in Redis."""
