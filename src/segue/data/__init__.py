"""From a log to a corpus, and from a corpus to batches."""
