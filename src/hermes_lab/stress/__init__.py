"""What is thrown at the product to see that it holds: damaged files, and outcomes that are counted."""
