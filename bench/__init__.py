"""Measurements and long trials, run from the project's folder: `python -m bench.NAME`."""
