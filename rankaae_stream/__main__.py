"""``python -m rankaae_stream``."""

from rankaae_stream.commands.cli import app

if __name__ == "__main__":
    app()
