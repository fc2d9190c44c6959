"""Sampling responses: one engine, continuous batching, a token together with its log-prob."""
