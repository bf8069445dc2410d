# The echo bot and gp-aiogram in one image: what it runs is up to the command. See compose.yaml.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE _gp_aiogram_pytest.py ./
COPY gp_aiogram ./gp_aiogram
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir ".[cli,metrics,phone,postgres,redis]"

FROM python:${PYTHON}-slim
RUN useradd --uid 10001 --no-create-home bot \
    && install --directory --owner=bot --group=bot --mode=0700 /data
COPY --from=build /venv /venv
COPY examples /app/examples
WORKDIR /app
ENV PATH="/venv/bin:${PATH}" \
    PYTHONUNBUFFERED=1 \
    GP_STORE="sqlite:////data/gp.sqlite3" \
    GP_JOURNAL="/data/gp.journal"
VOLUME /data
USER 10001
CMD ["gp-aiogram", "worker"]
