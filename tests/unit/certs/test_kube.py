"""What a failing connection to the API server tells, and does not tell."""

import logging
import socket

import pytest
from kubernetes.client import ApiClient, Configuration

from certs.kube import Api, ApiError, Resource

SECRET = Resource(group="", plural="secrets", name="tls", namespace="apps")


def test_retries_log_no_body(caplog: pytest.LogCaptureFixture) -> None:
    """A write that is retried in vain leaves no part of its body or token in any log record or in the error."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    settings = Configuration(host=f"http://127.0.0.1:{port}")
    settings.api_key = {"authorization": "Bearer the-token"}
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ApiError) as failed:
        Api(ApiClient(settings)).create(SECRET, {"data": {"tls.key": "the-key"}})
    told = str(failed.value) + "".join(str(vars(record)) for record in caplog.records)
    assert "stamina" in told
    assert "the-key" not in told
    assert "the-token" not in told


def test_missing_right_of_a_collection() -> None:
    """What is said when a list is refused names the collection, and no object that a rule could be limited to."""
    told = Resource(group="", plural="secrets", namespace="apps").missing_right("list")
    assert told.startswith('missing right: list secrets in namespace "apps". ')
    assert "resourceNames" not in told
