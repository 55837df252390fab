"""The machine underneath: files written whole, output folders, Ctrl-C, and the runtime of PyTorch."""
