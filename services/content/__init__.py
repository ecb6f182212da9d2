"""Titles, people and characters: search, lists, details; owns titles, actors, characters."""
