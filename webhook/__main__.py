"""`python -m webhook` is `dask-colocate`."""

from webhook.cli.main import main

if __name__ == "__main__":
    main()
