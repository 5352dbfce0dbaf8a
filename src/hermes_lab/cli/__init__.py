"""The laboratory's commands, which join ``hermes`` by entry points."""
