"""From a source (a file, a table, a data frame) to an interaction log whose columns and times are understood."""
