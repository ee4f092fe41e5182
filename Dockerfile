# The webhook's image. Build it with any OCI builder:
#   docker build -t dask-colocate .          buildah bud -t dask-colocate .
# Another base: --build-arg PYTHON_IMAGE=registry.example/python:3.12-slim
ARG PYTHON_IMAGE=python:3.12-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /source
COPY deploy/requirements.txt deploy/build-requirements.txt deploy/
# A tree of its own, so that the next stage takes it as one piece and leaves pip behind. All is locked by hash, the build's
# own tools too. kubernetes.aio, a second copy of the client, and what only that needs are half of all there is, and
# imported by nobody here.
RUN python -m venv --without-pip /opt/dask-colocate \
 && python -m pip --python /opt/dask-colocate/bin/python install --require-hashes --only-binary=:all: \
      -r deploy/requirements.txt \
 && rm -r /opt/dask-colocate/lib/python3*/site-packages/kubernetes/aio \
 && python -m pip --python /opt/dask-colocate/bin/python uninstall --yes --quiet \
      aiohappyeyeballs aiohttp aiohttp-retry aiosignal frozenlist multidict propcache yarl \
 && python -m pip install --require-hashes --only-binary=:all: -r deploy/build-requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY certs certs
COPY webhook webhook
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && python -m pip --python /opt/dask-colocate/bin/python install --no-index --no-deps /wheels/*.whl

FROM ${PYTHON_IMAGE}
# Set by `make image-push` from pyproject.toml.
ARG VERSION=unreleased
LABEL org.opencontainers.image.title="dask-colocate" \
      org.opencontainers.image.description="A Kubernetes admission webhook that keeps the GPU workers of a Dask cluster together" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/dask-colocate /opt/dask-colocate
ENV PATH=/opt/dask-colocate/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A number, so that `runAsNonRoot` can be checked; it needs no name and no home.
USER 65532:65532
WORKDIR /
EXPOSE 8443
ENTRYPOINT ["/opt/dask-colocate/bin/dask-colocate"]
CMD ["serve"]
