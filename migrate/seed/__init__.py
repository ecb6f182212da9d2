"""Data for a new system: the shipped catalogue of real titles, and made-up people of any number."""
