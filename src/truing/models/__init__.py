"""Language models of any architecture of transformers, on flat tokens."""
