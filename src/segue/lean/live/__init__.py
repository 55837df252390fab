"""A memory that is live: counts of the sessions since training, over the stored ones, and items that are new."""
