"""Life cycle of a server's TLS certificates: issue, check, store, rotate, and reload while serving."""
