"""Who judges: people who sign in, and simulated ones."""
