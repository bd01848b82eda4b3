"""Tests of the tables, one module a setting."""
