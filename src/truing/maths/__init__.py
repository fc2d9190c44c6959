"""Pure functions of the field: torch or numpy, nothing of ours above them."""
