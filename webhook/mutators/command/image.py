"""The version of dask-cuda in a worker's image, and the number of its GPUs."""

from dataclasses import dataclass

from webhook.mutators.command.options import Version

# The first dask-cuda whose wheel has an entry point in the group `dask_cli`; 22.12 has none.
_SUBCOMMAND_SINCE: Version = (23, 2)


@dataclass(frozen=True, slots=True)
class Image:
    """Version of dask-cuda in an image, and number of the worker's GPUs.

    Attributes:
        version: The version from the namespace's policy; None if it is not set.
        gpus: Number of GPUs; dask-cuda starts one process per GPU.
    """

    version: Version | None
    gpus: int

    @property
    def has_subcommand(self) -> bool:
        """Return whether `dask cuda worker` exists; True if the version is unknown."""
        return self.version is None or self.version >= _SUBCOMMAND_SINCE
