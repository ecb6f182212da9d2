"""What the community domain does; knows no HTTP and no SQL."""
