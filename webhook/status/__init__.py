"""`dask-colocate status`: what the webhook has done in a live cluster, and what it has missed.

`reading` turns the API server's answers into a `Snapshot`, `report` a Snapshot into a frozen `Report`, and
`terminal`, `document` and `page` render that. Only `reading`, `serving` and `command` do I/O.
"""
