"""What questions read beside the memory: an archive of evicted tokens, and a workspace to read them from."""
