"""Yesterday's model made today's: its corpus grown by a new log, its weights trained on, and promoted if not worse."""
