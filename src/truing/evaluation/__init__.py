"""Judging what was learned, with error bars, and telling it on one page."""
