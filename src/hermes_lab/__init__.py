"""The laboratory: what measures and proves the product, and trains its embedded models."""
