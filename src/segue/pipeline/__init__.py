"""The steps of a run in their order: prepare, train, measure, report."""
