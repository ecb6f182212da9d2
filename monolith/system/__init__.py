"""Health, status and probes of this app; knows no domain's tables."""
