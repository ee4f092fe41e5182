"""`python -m webhook` is `dask-colocate`."""

from webhook.cli import main

if __name__ == "__main__":
    main()
