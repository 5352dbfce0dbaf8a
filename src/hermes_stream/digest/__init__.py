"""What a video shows, in short: chapters, tags, a summary, events and pictures; see docs/record.md."""
