"""What the chat domain speaks of: prompts, exchanges, rows; no SQL, no I/O."""
