"""Images: generated, looked at, uploaded; owns media_metadata and the stored bytes."""
