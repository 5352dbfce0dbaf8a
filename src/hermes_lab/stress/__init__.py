"""Stress: whether what one stream, file or question does can hurt another; each script stores what it saw."""
