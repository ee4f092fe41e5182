"""Measurements of the tests in this folder, one line each; printed at the end of the run."""

LINES: list[str] = []
