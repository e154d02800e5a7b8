"""Run a worker that dies of one sample, and never comes back from another."""

import os
import signal
import time

from rankaae_stream.service.worker import main
from rankaae_stream.session import Session

real = Session.feed


def feed(self, name, doc, now, dropped=0):
    sample = doc.get("sample_name", "")
    if name == "start" and sample.startswith("kill"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if name == "start" and sample.startswith("hang"):
        time.sleep(1e6)
    real(self, name, doc, now, dropped)


Session.feed = feed
main()
