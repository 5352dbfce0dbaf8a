"""Training of the embedded checkpoints on the synthetic world."""
