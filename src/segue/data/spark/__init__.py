"""Spark as the query engine of the preparation: the same SQL, on one machine or on many."""
