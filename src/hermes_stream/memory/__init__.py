"""The memory as pure tensor functions: tiers, scores, smoothing, selection, summary and positions."""
