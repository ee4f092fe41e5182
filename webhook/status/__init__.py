"""`dask-colocate status`: report on a live cluster, its Dask workers and the webhook's installation.

`reading` reads a `Snapshot` from the API server, `report` converts it to a frozen `Report`, and `terminal`, `document`
and `page` render the report. Only `reading` and `serving` do I/O.
"""
