"""Logs, metrics and error reports of every process."""
