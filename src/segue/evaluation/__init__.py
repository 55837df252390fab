"""The measurement of a model: full ranking, metrics, slices of the events, tests of significance."""
