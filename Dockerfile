# An instance's image for the driver `docker` (docs/hosts.md): `make image`. Two stages: the first one compiles the wheel,
# the second one has what an instance needs at run time, and a C compiler: functions are compiled for the CPU at hand,
# once for each kind, into the volume that all containers of a host share.
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ cmake ninja-build pkg-config libdpdk-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY pyproject.toml README.md LICENSE CMakeLists.txt dpdk.cmake ./
COPY engine engine
COPY src src
RUN python3 -m venv /opt/statelessnf \
 && /opt/statelessnf/bin/python -m pip install --no-cache-dir .

FROM python:${PYTHON}
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev libnuma1 libxdp1 libbpf1 libpcap0.8 libibverbs1 \
      ibverbs-providers libbsd0 libnl-3-200 libnl-route-3-200 libelf1 zlib1g \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/statelessnf /opt/statelessnf
ENV PATH=/opt/statelessnf/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
    XDG_CACHE_HOME=/var/cache
RUN snf build && python3 -m compileall -q /opt/statelessnf/lib/python3.11/site-packages/statelessnf
# No ENTRYPOINT: the driver says what runs. The first process must be Python's, so that SIGTERM reaches it.
CMD ["snf", "--help"]
