"""The approximate index of a large catalogue: lists of items that lie together, and a sample of those beyond them."""
