"""Accounts, sessions, profiles and referrals; knows no other service and owns the tables of `users`."""
