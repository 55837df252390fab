"""Building blocks that two or more models use: encodings, losses, reductions over segments, reminders, counts."""
