"""Checks of a running installation; each gives findings and changes nothing."""
