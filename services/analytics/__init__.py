"""Figures fed by events: users, streaks, conversations, the product; owns their seven tables."""
