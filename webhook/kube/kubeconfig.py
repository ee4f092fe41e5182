"""Official Kubernetes client, configured from a kubeconfig or from the service account of the Pod."""

import os
from pathlib import Path

import urllib3
import yaml
from kubernetes import config
from kubernetes.client import ApiClient, Configuration

from webhook.kube.api import ApiError


def load_client(kubeconfig: Path | None = None, context: str | None = None) -> ApiClient:
    """Create a client as kubectl does: from `kubeconfig`, $KUBECONFIG, ~/.kube/config or the Pod's service account.

    Raises:
        ApiError: None of them exists, or its content is invalid.
    """
    settings = Configuration()
    try:
        _load(settings, kubeconfig, context)
        if not settings.verify_ssl:  # the user's own `insecure-skip-tls-verify`; urllib3 would warn at every request
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        settings.retries = False  # callers have their own back-off or deadline
        return ApiClient(settings)
    except (config.ConfigException, OSError) as error:
        raise ApiError(f"cannot load a kubeconfig: {error}") from None
    except (yaml.YAMLError, TypeError, ValueError, AttributeError, LookupError) as error:
        # The client does not validate the structure of the file.
        file = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
        reason = " ".join(str(error).split())
        raise ApiError(f"cannot load a kubeconfig: {file} is invalid ({reason})") from None


def _load(settings: Configuration, kubeconfig: Path | None, context: str | None) -> None:
    named = kubeconfig or os.environ.get("KUBECONFIG")
    files = [Path(each).expanduser() for each in str(named or "~/.kube/config").split(os.pathsep) if each]
    if any(each.exists() for each in files):
        config.load_kube_config(str(kubeconfig) if kubeconfig else None, context, client_configuration=settings)
    elif not (named or context) and "KUBERNETES_SERVICE_HOST" in os.environ:
        config.load_incluster_config(client_configuration=settings)  # load_config would print a message
    else:
        verb = "does" if len(files) == 1 else "do"
        raise ApiError(f"cannot load a kubeconfig: {', '.join(map(str, files))} {verb} not exist")
