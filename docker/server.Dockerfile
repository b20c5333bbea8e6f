# The server: web and worker are the same image with another command.
#   docker build -f docker/server.Dockerfile -t smallfleet-server .
# Both share one volume (SQLite and the store), or a database and an object store named by SMALLFLEET_* variables:
#   docker run -v smallfleet:/var/lib/smallfleet -e SMALLFLEET_SECRET_KEY_FILE=/run/secrets/key -p 8000:8000 smallfleet-server
#   docker run -v smallfleet:/var/lib/smallfleet -e SMALLFLEET_SECRET_KEY_FILE=/run/secrets/key smallfleet-server smallfleet worker
FROM python:3.11-slim-bookworm

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 SMALLFLEET_HOME=/var/lib/smallfleet

WORKDIR /srv/smallfleet
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY access access
COPY agent agent
COPY benchmarks benchmarks
COPY client client
COPY compression compression
COPY delta delta
COPY fleet fleet
COPY registry registry
RUN pip install --no-cache-dir --constraint constraints.txt '.[server,postgres,redis,s3]' \
 && useradd --system --uid 10001 --home-dir /var/lib/smallfleet --create-home smallfleet

USER 10001
VOLUME /var/lib/smallfleet
EXPOSE 8000
CMD ["smallfleet", "server", "--bind", "0.0.0.0:8000"]
