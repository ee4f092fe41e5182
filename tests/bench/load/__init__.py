"""What `tests.bench.admission` measures: a module for each part, and what they share."""
