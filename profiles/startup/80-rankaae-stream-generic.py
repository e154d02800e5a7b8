# Copy into your IPython profile's startup folder, after the file that makes RE.
# The Tiled key comes from the environment: export RANKAAE_STREAM_TILED_API_KEY=...
from rankaae_stream import DescriptorStream

rankaae = DescriptorStream("generic")  # or the path of your own TOML file
RE.subscribe(rankaae)  # noqa: F821
