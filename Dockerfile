# Two images from one file:
#
#   docker build --target slim -t atelier:slim .    without torch, for a remote backend
#   docker build --target cuda -t atelier:cuda .    draws here: NVIDIA GPU, or slowly on the CPU
#
# Both run as an ordinary user, keep everything in /data and answer on port 8470.

FROM python:3.11-slim-bookworm AS base
ENV PATH=/opt/atelier/bin:$PATH \
    PYTHONUNBUFFERED=1

# --- What is installed: one virtual environment per image, built where pip may leave its traces ---

FROM base AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_INPUT=1
WORKDIR /src
RUN python -m venv /opt/atelier
COPY constraints.txt ./

FROM build AS build-slim
COPY LICENSE README.md pyproject.toml ./
COPY lora_registry lora_registry
COPY backends backends
COPY bot bot
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt .

# torch has a layer of its own: some gigabytes that change only with constraints.txt. Its ordinary
# wheels bring CUDA along, so the image needs no CUDA base, only the host's NVIDIA driver.
FROM build AS build-cuda
ARG TORCH_INDEX=""
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} torch
COPY LICENSE README.md pyproject.toml ./
COPY lora_registry lora_registry
COPY backends backends
COPY bot bot
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt ".[local]"

# --- What runs ------------------------------------------------------------------------------------

FROM base AS runtime
# The user's number is fixed, so that a volume's files stay theirs from one image to the next.
RUN groupadd --system --gid 10001 atelier \
    && useradd --system --uid 10001 --gid atelier --home-dir /data --no-create-home atelier \
    && install --directory --owner atelier --group atelier --mode 0750 /data
ENV ATELIER_DATA_DIR=/data \
    ATELIER_HOST=0.0.0.0 \
    HF_HOME=/data/huggingface
WORKDIR /data
VOLUME /data
EXPOSE 8470
USER 10001:10001
# Liveness only. `docker run --init` (compose.yaml has it) adds an init that reaps orphans; SIGTERM
# reaches Atelier either way, which finishes or puts back what it was drawing.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as http; http.urlopen('http://127.0.0.1:' + os.environ.get('ATELIER_PORT', '8470') + '/healthz', timeout=4)"]
ENTRYPOINT ["atelier"]
CMD ["run"]

FROM runtime AS slim
COPY --from=build-slim /opt/atelier /opt/atelier

FROM runtime AS cuda
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_VISIBLE_DEVICES=all
COPY --from=build-cuda /opt/atelier /opt/atelier
