"""The nouns, the files they are kept in, and the only place where text becomes tokens."""
