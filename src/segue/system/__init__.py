"""The machine underneath: files and folders written whole, one process per folder, Ctrl-C, the runtime of PyTorch."""
