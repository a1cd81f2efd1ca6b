# The images of Sendgate, one target each: sendgate postfix filters redis prometheus. docs/images.md tells what is in them.
#
# Debian packages and Python packages are locked by version and hash (milter/image/locks, milter/*.lock; `make lock`).
# Secrets, all optional and never in an image: `apt-sources` (other package sources, as a sources.list), `pip` (a
# pip.conf), `ca` (certificates to trust while building).

ARG BASE=debian:bookworm-slim

# `make lock` takes the new locks from here.
FROM ${BASE} AS resolved
RUN --mount=type=bind,source=milter/image,target=/image \
    --mount=type=secret,id=apt-sources \
    /image/packages resolve /resolved

FROM scratch AS locks
COPY --from=resolved /resolved /

# The base at the locked versions, without setuid programs.
FROM ${BASE} AS base
# A sum over milter/image, for engines that would take a layer from their cache although a lock has changed.
ARG LOCKED=
RUN --mount=type=bind,source=milter/image,target=/image \
    --mount=type=secret,id=apt-sources \
    /image/packages add base
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# Everything that compiles; nothing of it stays but /opt/sendgate.
FROM base AS builder
RUN --mount=type=bind,source=milter/image,target=/image \
    --mount=type=secret,id=apt-sources \
    /image/packages add builder
COPY milter/requirements.lock milter/image/build-requirements.lock milter/image/environment /build/
RUN --mount=type=secret,id=pip --mount=type=secret,id=ca \
    /build/environment libraries
COPY setup.cfg pyproject.toml README.md /build/source/
COPY milter/sendgate /build/source/milter/sendgate
RUN /build/environment program

FROM base AS sendgate
RUN --mount=type=bind,source=milter/image,target=/image \
    --mount=type=secret,id=apt-sources \
    /image/packages add sendgate \
    && /image/user sendgate 10001 postfix 2525 \
    && install -d -o 10001 -g 2525 /run/sendgate /var/lib/sendgate /var/log/postfix \
    && install -d /etc/sendgate
COPY --from=builder /opt/sendgate /opt/sendgate
ENV PATH=/opt/sendgate/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1
ARG VERSION=0.1.0
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.title="sendgate" \
      org.opencontainers.image.description="A Postfix milter that refuses suppressed and spam-trap recipients at RCPT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
USER 10001:2525
EXPOSE 9102
STOPSIGNAL SIGTERM
ENTRYPOINT ["sendgate"]
CMD ["serve"]

# Starts as root: Postfix's parts run as different users.
FROM base AS postfix
RUN --mount=type=bind,source=milter/image,target=/image \
    --mount=type=secret,id=apt-sources \
    groupadd --gid 2526 postdrop \
    && /image/user postfix 2525 postfix 2525 /var/spool/postfix \
    && debconf-set-selections /image/postfix.debconf \
    && /image/packages add postfix \
    && install -d /usr/share/sendgate-postfix \
    && cp -a /etc/postfix /usr/share/sendgate-postfix/etc
COPY postfix/container/postfix-* /usr/local/bin/
COPY postfix/main.cf postfix/master.cf /usr/share/sendgate-postfix/
ARG VERSION=0.1.0
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.title="sendgate-postfix" \
      org.opencontainers.image.description="Postfix for a sender of mail, with Sendgate in front" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
EXPOSE 25
STOPSIGNAL SIGTERM
ENTRYPOINT ["postfix-start"]

# One image for the other milters; the command says which.
FROM base AS filters
RUN --mount=type=bind,source=milter/image,target=/image \
    --mount=type=secret,id=apt-sources \
    /image/user filters 10002 postfix 2525 \
    && debconf-set-selections /image/filters.debconf \
    && /image/packages add filters \
    && install -d -o 10002 -g 2525 /run/filters
ARG VERSION=0.1.0
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.title="sendgate-filters" \
      org.opencontainers.image.description="OpenDKIM, OpenDMARC, SpamAssassin and its milter" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
USER 10002:2525
STOPSIGNAL SIGTERM
CMD ["opendkim", "-V"]

FROM base AS redis
RUN --mount=type=bind,source=milter/image,target=/image \
    --mount=type=secret,id=apt-sources \
    /image/user redis 10003 redis 10003 /var/lib/redis \
    && /image/packages add redis
ARG VERSION=0.1.0
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.title="sendgate-redis" \
      org.opencontainers.image.description="Redis, for lists that many senders share" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
WORKDIR /var/lib/redis
USER 10003:10003
EXPOSE 6379
STOPSIGNAL SIGTERM
ENTRYPOINT ["redis-server"]

# Prometheus and Alertmanager; the command says which.
FROM base AS prometheus
RUN --mount=type=bind,source=milter/image,target=/image \
    --mount=type=secret,id=apt-sources \
    /image/packages add prometheus \
    && /image/user metrics 10004 metrics 10004 /var/lib/prometheus
ARG VERSION=0.1.0
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.title="sendgate-prometheus" \
      org.opencontainers.image.description="Prometheus and Alertmanager, for the demo" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
WORKDIR /var/lib/prometheus
USER 10004:10004
EXPOSE 9090 9093
STOPSIGNAL SIGTERM
CMD ["prometheus", "--version"]
