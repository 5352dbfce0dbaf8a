"""The embedded model's world: its streams, its questions, its training."""
