"""Moves tables of one service from one PostgreSQL database to another and back, under traffic."""
