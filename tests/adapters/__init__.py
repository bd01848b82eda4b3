"""Adapters: what the package computes for a reference case, in the shape of its numbers.

``tests/adapters/<capability>.py`` defines ``compute(case, load) -> dict``. It is driven by
``case["inputs"]`` alone, reads data with ``load(name)``, and returns the nested keys of
``expected``. It holds no names of cases and no expected numbers.
"""
