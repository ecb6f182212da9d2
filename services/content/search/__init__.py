"""The search index in memory: what a query finds and in which order; knows no database and no HTTP."""
