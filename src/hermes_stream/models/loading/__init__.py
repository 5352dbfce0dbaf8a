"""Opening, checking and placing checkpoints."""
