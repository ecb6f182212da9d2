"""The extracted services, one package per domain; none imports another."""
