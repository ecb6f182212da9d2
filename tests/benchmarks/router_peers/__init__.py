"""Peers, back end and load of the router's benchmark; nothing here asserts anything."""
