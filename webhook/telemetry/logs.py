"""JSON log lines, written by a thread so that a slow disk or terminal does not delay requests."""

import logging
import logging.handlers
import queue
from collections.abc import Callable
from typing import TextIO

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.orjson import OrjsonFormatter

# Lines in the queue: about a second at full load. More lines are dropped and counted.
QUEUE_SIZE = 10_000


class _DroppingHandler(logging.handlers.QueueHandler):
    """Log handler that drops records when the queue is full."""

    def __init__(self, records: queue.Queue[logging.LogRecord], on_drop: Callable[[], None]) -> None:
        """Write to `records`; `on_drop` is called for each dropped record."""
        super().__init__(records)
        self._on_drop = on_drop

    def handle(self, record: logging.LogRecord) -> bool:
        # Skip `prepare`, which formats records for other processes and would add 20 us to a request.
        try:
            self.enqueue(record)
        except queue.Full:
            self._on_drop()
            return False
        return True


def start_logging(stream: TextIO, level: str, on_drop: Callable[[], None]) -> logging.handlers.QueueListener:
    """Start to write the log of the process as JSON lines.

    Args:
        stream: Output.
        level: Lowest level to write.
        on_drop: Callback for each record that is dropped because the queue of `QUEUE_SIZE` is full.

    Returns:
        The started thread; the caller stops it.
    """
    # Fields that no line contains; see "Optimization" in the documentation of `logging`.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    records: queue.Queue[logging.LogRecord] = queue.Queue(QUEUE_SIZE)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        OrjsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            reserved_attrs=[*RESERVED_ATTRS, "color_message"],  # uvicorn's message with terminal escapes
        )
    )
    handler.addFilter(lambda record: record.name != "stamina")  # the informers log their retries themselves
    root = logging.getLogger()
    root.handlers[:] = [_DroppingHandler(records, on_drop)]
    root.setLevel(level)
    listener = logging.handlers.QueueListener(records, handler)
    listener.start()
    return listener
