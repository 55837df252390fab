"""From an interaction log to a corpus: sessions, filters, split, vocabularies."""
