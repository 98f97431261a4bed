# The Paddle side of an alignment; the versions are those of requirements.lock. See docs/install.md.
FROM python:3.11.14-slim-bookworm AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11.14-slim-bookworm
LABEL org.opencontainers.image.title="pit-port, Paddle" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PYTHONUNBUFFERED=1
# Paddle is linked with OpenMP, which slim images lack; Debian keeps one version of it a release.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
# A further index: --build-arg PIP_EXTRA_INDEX_URL=...
ARG PIP_EXTRA_INDEX_URL
COPY requirements.lock /tmp/constraints.txt
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    set -- /wheels/*.whl && pip install --no-cache-dir --constraint /tmp/constraints.txt "$1[paddle]"
RUN useradd --create-home --uid 1000 port
USER 1000
WORKDIR /work
ENTRYPOINT ["pit-align"]
CMD ["--version"]
