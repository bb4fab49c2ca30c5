# The image that every node of docs/cluster/kuberay-rayjob.yaml runs:
#   docker build --tag registry.example.com/conclus:0.3.0 .
# For nodes without cards, without the 5 GB of CUDA:
#   docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu --tag registry.example.com/conclus:0.3.0 .
FROM python:3.12-slim-bookworm AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

FROM python:3.12-slim-bookworm
# rayVersion in the manifest.
ARG RAY_VERSION=2.60.0
ARG TORCH_INDEX=""

# KubeRay starts Ray by bash, which is there, and asks it by wget whether it lives; conclus asks ps. Ray's own images
# have the same user and number.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends procps wget \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 --user-group ray \
 && if [ -n "$TORCH_INDEX" ]; then pip install --no-cache-dir --index-url "$TORCH_INDEX" "torch>=2.7"; fi

COPY --from=wheel /wheel /wheel
RUN pip install --no-cache-dir "$(echo /wheel/*.whl)[cluster]" "ray[default,tune]==$RAY_VERSION"

USER 1000:1000
WORKDIR /home/ray
CMD ["conclus", "--help"]
