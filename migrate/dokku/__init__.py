"""Dokku: desired and observed state of a host, the plan between them, and the ways to carry it out."""
