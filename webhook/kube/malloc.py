"""Return of freed heap memory to the operating system."""

import ctypes


def trim_heap() -> None:
    """Release unused heap pages to the operating system. Only glibc needs and supports this."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim:
        malloc_trim(0)
