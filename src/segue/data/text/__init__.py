"""Text files of rows, read so that every line is a row, or is named: delimiters, quotes, line ends, broken lines."""
