"""Where scores come from: models, functions, verifiers, servers."""
