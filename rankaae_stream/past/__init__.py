"""Find stored runs in Tiled, databroker or files, and select those to replay."""
