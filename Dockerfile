# One image, two commands: `alembic upgrade head`, then the API (the default).

FROM python:3.13-slim AS build
# Or requirements-otel.txt, for OPENTELEMETRY=true.
ARG REQUIREMENTS=requirements.txt
COPY ${REQUIREMENTS} requirements.txt
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --disable-pip-version-check \
        --no-deps --require-hashes --only-binary :all: --requirement requirements.txt

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin partywall
COPY --from=build /venv /venv
WORKDIR /app
COPY alembic.ini ./
COPY api api
COPY db db
COPY migrations migrations
ENV PATH=/venv/bin:$PATH
# By number: an orchestrator can then see that it is not root.
USER 10001
EXPOSE 8000
# Whether the process lives, not whether the database does: restarting the API does not heal a database.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-c", "from http.client import HTTPConnection; c = HTTPConnection('127.0.0.1', 8000, timeout=2); c.request('GET', '/health/live'); raise SystemExit(c.getresponse().status != 200)"]
# No client needs the header that names the server's software. Idle connections live longer than those of a balancer: 75 > 60.
CMD ["uvicorn", "api.main:app", "--host", "0.0.0.0", "--port", "8000", "--no-server-header", "--timeout-graceful-shutdown", "20", "--timeout-keep-alive", "75"]
