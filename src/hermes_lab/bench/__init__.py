"""Speed and memory, measured beside rivals and beside what the device allows."""
