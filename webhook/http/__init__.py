"""ASGI application, connection limits and graceful shutdown."""
