"""Simulations with known truth: how often intervals hold it. ``run.py`` writes their table."""
