"""The dask-cuda of a worker's image, and the GPUs that it finds."""

from dataclasses import dataclass

from webhook.mutators.command.options import Version

# The first dask-cuda whose wheel has an entry point in the group `dask_cli`; 22.12 has none.
_SUBCOMMAND_SINCE: Version = (23, 2)


@dataclass(frozen=True, slots=True)
class Image:
    """The image's dask-cuda and the GPUs of its pod.

    Attributes:
        version: From the namespace's policy; None when it is not set.
        gpus: Number of GPUs of the worker, which is the number of processes that dask-cuda starts.
    """

    version: Version | None
    gpus: int

    @property
    def has_subcommand(self) -> bool:
        """True if `dask cuda worker` exists; assumed if the version is unknown."""
        return self.version is None or self.version >= _SUBCOMMAND_SINCE
