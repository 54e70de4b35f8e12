# The images of mnflow: `docker build --target cpu|server|serve|gpu .`; without a target, cpu. docs/tune.md says how to run
# them, docs/serve.md how to run `serve`.
# Targets share layers, packages below code. The classic builder builds all stages above its target: what tests build is first.
# For a build that never changes give the base by digest: --build-arg BASE_IMAGE=python@sha256:...
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS base
ENV PATH=/app/.venv/bin:$PATH \
    HOME=/home/mnflow \
    USER=mnflow \
    PYTHONUNBUFFERED=1 \
    GIT_PYTHON_REFRESH=quiet \
    MLFLOW_DISABLE_TELEMETRY=true
# The home is open to all, so that `--user` may be whoever owns the mounted folder.
RUN groupadd --gid 1000 mnflow \
    && useradd --uid 1000 --gid mnflow --no-log-init --create-home mnflow \
    && chmod 1777 /home/mnflow \
    && install --directory --owner mnflow --group mnflow --mode 1777 /data
WORKDIR /app

# ---- what all steps run in: the same MLproject, a store and data in /data
FROM base AS packages
COPY requirements.txt ./
RUN python -m venv .venv \
    && pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt
# MLflow hands _MLFLOW_SERVER_ARTIFACT_ROOT to stores that are made in its processes: artifacts lie beside the database.
ENV PYTHONPATH=/app \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    MLFLOW_ENV_ROOT=/app/.environments \
    MLFLOW_TRACKING_URI=sqlite:////data/mlflow.db \
    MNFLOW_STUDY_STORAGE=sqlite:////data/studies.db \
    _MLFLOW_SERVER_ARTIFACT_ROOT=/data/mlruns
RUN ln -s /data data

FROM packages AS cpu
COPY . .
# `mlflow run .` then finds this environment; nothing is built when a container starts.
RUN python -m mnflow.setup --here --no-store
ENV MNFLOW_IMAGE=cpu
USER mnflow
CMD ["python", "-m", "mnflow", "doctor"]

# ---- the team's tracking server (compose.yaml): MLflow without the nets
FROM base AS server-packages
COPY requirements-server.txt ./
RUN python -m venv .venv \
    && pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes -r requirements-server.txt

FROM server-packages AS server
COPY deploy/basic_auth.ini deploy/prepare.py ./
ENV MLFLOW_AUTH_CONFIG_PATH=/app/basic_auth.ini
USER mnflow
EXPOSE 5000
CMD ["mlflow", "server", "--host", "0.0.0.0"]

# ---- the served champion: a model's folder is mounted at /model, and brings its own code (docs/serve.md)
FROM server-packages AS serve
ENV OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false
USER mnflow
EXPOSE 8080
HEALTHCHECK --start-period=60s CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/ping')"]
CMD ["mlflow", "models", "serve", "--model-uri", "/model", "--env-manager", "local", "--host", "0.0.0.0", "--port", "8080"]

# ---- the steps' image with NVIDIA's wheels, which carry CUDA: run it with `--gpus all`
FROM packages AS gpu
COPY requirements-gpu.txt ./
# TensorFlow's C++ headers are 0.4 GB that only those who compile against it need.
RUN pip install --quiet --no-cache-dir --disable-pip-version-check --no-deps --require-hashes -r requirements-gpu.txt \
    && rm -r .venv/lib/python3.11/site-packages/tensorflow/include
COPY . .
RUN python -m mnflow.setup --here --no-store
# Several workers share a GPU: nobody takes all of its memory.
ENV MNFLOW_IMAGE=gpu \
    XLA_PYTHON_CLIENT_PREALLOCATE=false \
    TF_FORCE_GPU_ALLOW_GROWTH=true \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER mnflow
CMD ["python", "-m", "mnflow", "doctor"]

FROM cpu
