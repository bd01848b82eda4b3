"""Tests of the numerical methods, one module a topic."""
