"""Several processes that train or measure one model together: how they find each other, and what they say."""
