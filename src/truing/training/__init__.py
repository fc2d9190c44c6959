"""The stages of learning, each a file in the same order: Config, loss, step, train."""
