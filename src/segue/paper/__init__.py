"""The tables and figures of the HG-GNN paper (arXiv 2107.03813, section 5), each as one command on any corpus."""
