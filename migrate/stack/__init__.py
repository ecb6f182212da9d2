"""The local stack: private servers and the system's own processes on one machine, for development and tests."""
