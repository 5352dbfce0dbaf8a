"""Routes: each file those of one noun."""
