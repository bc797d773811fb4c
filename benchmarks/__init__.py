"""Benchmarks that anyone can run from a clone; see README.md in this folder."""
