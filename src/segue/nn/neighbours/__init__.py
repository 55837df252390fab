"""Past sessions as neighbours of a running one, without torch: training and answers read the same definition."""
