# Copy into your IPython profile's startup folder, beside the simulated beamline of the demo.
# The Tiled key comes from the environment: export RANKAAE_STREAM_TILED_API_KEY=...
from rankaae_stream import DescriptorStream

rankaae = DescriptorStream("sim")  # print(rankaae.status()) says how it is doing
RE.subscribe(rankaae)  # noqa: F821
