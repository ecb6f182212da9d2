"""Exact comparison of two databases that both keep moving."""
