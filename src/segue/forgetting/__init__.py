"""Forgetting a person: a model without what they did, and the proof that nothing of them is left in its folder."""
