"""Certificate rotation of `serve`, built from its options."""

import random
from collections.abc import Callable

from certs.rotation.clock import system_clock
from certs.rotation.events import Observer
from certs.rotation.files import MountedFiles
from certs.rotation.loop import Intervals, Rotation
from certs.rotation.modes import Mode
from certs.rotation.sources import FileSource, SecretSource
from certs.serving import ReloadableContext
from certs.x509.issue import service_names
from certs.x509.plan import CertificateSpec
from webhook.cli.options import ServeOptions
from webhook.kube.api import Api
from webhook.kube.certificates import TLSSecretStore, WebhookBundlePublisher
from webhook.policy.defaults import SettingsError

_FILE_INTERVALS = Intervals(resync=1)
"""A pass reads three small files. The kubelet takes about a minute to update them."""


def build_rotation(
    options: ServeOptions, context: ReloadableContext, observe: Observer, connect: Callable[[], Api]
) -> Rotation:
    """Build the rotation of a certificate mode. `connect` is called in the modes that need a cluster.

    Raises:
        SettingsError: An option that the mode needs is empty.
    """
    if options.certificate_mode is Mode.SELF_MANAGED:
        _require(options, "service", "service_namespace", "secret")
        return _self_managed(options, context, observe, connect())
    if options.certificate_mode is Mode.FILES:
        return _from_files(options, context, observe, None)
    _require(options, "webhook_configuration")
    return _from_files(options, context, observe, connect())


def _self_managed(options: ServeOptions, context: ReloadableContext, observe: Observer, api: Api) -> Rotation:
    store = TLSSecretStore(api, options.service_namespace, options.secret)
    name = options.webhook_configuration
    publisher = WebhookBundlePublisher(api, name) if name else None
    spec = CertificateSpec(names=_names(options), authority_name=options.service)
    jitter = random.random()  # noqa: S311 - spreads load; not a secret
    return Rotation(
        context=context,
        source=SecretSource(store=store, spec=spec, jitter=jitter, observe=observe),
        clock=api.now,
        observe=observe,
        publisher=publisher,
        publishes=True,
        watches=(store.watch(), *([publisher.watch()] if publisher else ())),
    )


def _from_files(options: ServeOptions, context: ReloadableContext, observe: Observer, api: Api | None) -> Rotation:
    if options.tls_cert is None or options.tls_key is None:
        raise SettingsError(f"--certs {options.certificate_mode} needs --tls-cert and --tls-key")
    files = MountedFiles(certificate=options.tls_cert, key=options.tls_key)
    publisher = WebhookBundlePublisher(api, options.webhook_configuration) if api else None
    return Rotation(
        context=context,
        source=FileSource(files=files, names=_names(options)),
        clock=api.now if api else system_clock,
        observe=observe,
        publisher=publisher,
        watches=(publisher.watch(),) if publisher else (),
        intervals=_FILE_INTERVALS,
    )


def _names(options: ServeOptions) -> tuple[str, ...]:
    return service_names(options.service, options.service_namespace, options.cluster_domain) if options.service else ()


def _require(options: ServeOptions, *names: str) -> None:
    if missing := [f"--{name.replace('_', '-')}" for name in names if not getattr(options, name)]:
        raise SettingsError(f"--certs {options.certificate_mode} needs {', '.join(missing)}")
