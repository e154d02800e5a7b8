# For bluesky-queueserver: copy into the startup folder that start-re-manager is given
# (--startup-dir), or into its script (--startup-script), after RE is made. The worker
# process runs it once, when the environment opens. The Tiled key must be in the
# environment of start-re-manager: export RANKAAE_STREAM_TILED_API_KEY=...
from rankaae_stream import DescriptorStream

if "rankaae" not in globals():  # a script that is run again must not subscribe twice
    rankaae = DescriptorStream("generic")  # a shipped profile, or the path of your own
    RE.subscribe(rankaae)  # noqa: F821
