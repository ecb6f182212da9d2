"""The SQL of the chat domain; knows no HTTP and no provider."""
