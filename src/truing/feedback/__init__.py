"""Human feedback. Never imports torch: what needs a model is handed in."""
