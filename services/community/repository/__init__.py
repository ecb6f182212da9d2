"""The SQL of the community domain, by table; knows no HTTP, no socket and no provider."""
