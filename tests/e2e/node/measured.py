"""What the tests of this folder measured: one line each, shown at the end of the run."""

LINES: list[str] = []
