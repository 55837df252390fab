"""What every model offers to the rest of Segue, and what a model asks of a corpus."""
