# The image of `make image`, for those who build with docker, podman or buildah.
# It is built on the builder's own processor for any other: nothing in it is run.
FROM --platform=$BUILDPLATFORM debian:trixie AS build
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates python3-venv
WORKDIR /build
COPY deploy/tools.lock deploy/
RUN python3 -m venv /tools && /tools/bin/pip install --require-hashes --requirement deploy/tools.lock
COPY . .
ARG TARGETARCH=amd64
RUN /tools/bin/python -m deploy.bundle --architecture "$TARGETARCH" /bundle \
    && /tools/bin/python -m deploy.image --root /bundle /root-of-image

FROM scratch
COPY --from=build /root-of-image /
ENV PATH=/bin
ENTRYPOINT ["/bin/multus-py"]
