"""The steps in their order: prepare, train, measure, report."""
