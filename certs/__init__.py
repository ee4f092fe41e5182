"""The life cycle of a server's TLS certificates: issued, checked, stored, rotated, reloaded while serving."""
