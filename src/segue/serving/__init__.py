"""A request and its answer: recommended items with their reasons."""
