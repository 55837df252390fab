"""The one training loop, its optimizers, and the record of its epochs."""
