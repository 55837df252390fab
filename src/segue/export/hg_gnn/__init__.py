"""HG-GNN as two ONNX graphs, a session encoder and a scorer; the equations are those of :mod:`segue.lean.hg_gnn`."""
