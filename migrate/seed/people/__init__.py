"""Made-up people with believable, related data: pure generators, the same for the same seed."""
