"""What was freed goes back to the system."""

import ctypes


def give_back() -> None:
    """Have the C library return the pages it holds and nobody uses; only glibc keeps them and can be told to."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)
