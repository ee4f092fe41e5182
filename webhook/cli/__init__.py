"""Commands and their flags; the composition root."""
