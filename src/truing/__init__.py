"""Truing: reinforcement learning from human feedback, from a base model to an aligned one."""

__version__ = "0.1.0.dev0"
