"""Tests of the package; `tests/methods`, `tests/adapters` and the rest mirror it."""
