"""The audit: whether anything from after the cut reached a corpus, a model, or the files of another library."""
