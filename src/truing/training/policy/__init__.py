"""Policy optimisation, for every row of the table of algorithms."""

from truing.training.policy.settings import Config
from truing.training.policy.stage import explain, train

__all__ = ["Config", "explain", "train"]
