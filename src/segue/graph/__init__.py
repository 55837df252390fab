"""The global graph of users and items (arXiv 2107.03813, section 4.2), and the graph of a single session."""
