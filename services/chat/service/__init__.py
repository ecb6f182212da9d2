"""What the chat domain does; knows no HTTP and no SQL."""
