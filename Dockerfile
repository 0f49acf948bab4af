# The relay and what it needs to run, nothing to build with and no root. The dependencies are those of the lock files,
# checked by their hashes.

FROM python:3.11.13-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
# Before the source: as long as the lock files do not change, these layers are reused.
COPY requirements-build.txt requirements-runtime.txt requirements-example.txt ./
# requirements-example.txt has the workers, the real-time server and the example besides.
ARG REQUIREMENTS=requirements-runtime.txt
RUN python -m pip install --require-hashes --requirement requirements-build.txt \
    && python -m venv --without-pip /opt/relay \
    && python -m pip --python /opt/relay/bin/python install --require-hashes --only-binary :all: \
        --requirement "$REQUIREMENTS"
COPY pyproject.toml README.md ./
COPY relay relay
COPY app_integration app_integration
COPY migrations migrations
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && python -m pip --python /opt/relay/bin/python install --no-deps --no-index /wheels/*.whl

FROM python:3.11.13-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin relay
COPY --from=build /opt/relay /opt/relay
ENV PATH=/opt/relay/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A relay.toml mounted here is found.
WORKDIR /etc/relay
USER 10001
# In exec form, so that the relay itself gets SIGTERM.
ENTRYPOINT ["relay"]
CMD ["run", "--wait=60"]
