"""The contract between the models and the rest of Segue: what a model offers, and what it needs of a corpus."""
