# Copy into ~/.ipython/profile_collection/startup/ at QAS. RE is the session's RunEngine.
# The Tiled key comes from the environment: export RANKAAE_STREAM_TILED_API_KEY=...
from rankaae_stream import DescriptorStream

rankaae = DescriptorStream("qas")  # print(rankaae.status()) says how it is doing
RE.subscribe(rankaae)  # noqa: F821
