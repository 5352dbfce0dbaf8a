"""Whose each stream is, where several services share one record; see docs/scaling.md."""
