# Images of the service and of the load generator.
#
#   docker build --target rater -t rater .
#   docker build --target rater-load -t rater-load .

FROM rust:1.95.0-slim-bookworm AS build
# librdkafka is compiled here (make, g++); TLS to brokers is the system's.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ libssl-dev make pkg-config \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
# The cache keeps what was compiled for the next build, and is no part of an image: so what is wanted is copied out of it.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target \
    cargo build --release --locked --package rater --features kafka-tls --bin rater \
 && cargo build --release --locked --package rater-testkit --bin rater-load \
 && mkdir /built \
 && cp target/release/rater target/release/rater-load /built/

FROM debian:12.12-slim AS base
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates libssl3 \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 rater \
 && useradd --uid 10001 --gid rater --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin rater \
 && install --directory --owner=rater --group=rater /var/lib/rater
USER 10001:10001
WORKDIR /var/lib/rater

FROM base AS rater-load
COPY --from=build /built/rater-load /usr/local/bin/rater-load
ENTRYPOINT ["rater-load"]

FROM base AS rater
COPY deploy/rater/healthy /usr/local/bin/healthy
COPY --from=build /built/rater /usr/local/bin/rater
# Memory that a batch gives back is kept for the next one: 7 % more records a second (docs/performance.md, "On Kafka").
ENV MIMALLOC_PURGE_DELAY=-1
EXPOSE 9464
# Ready: partitions assigned, state restored. One that is not may still be restoring; nothing restarts it for that.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 CMD ["healthy", "127.0.0.1:9464", "/readyz"]
ENTRYPOINT ["rater"]
CMD ["run"]
