"""Whether the API can do its work, and whether it may."""
