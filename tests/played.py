"""Play scans of the simulated beamlines to a pipeline, and compare with what was played."""

import dataclasses

import event_model
import numpy as np

from rankaae_stream.simulate.samples import curves

FLY = """
name = "fly"
[layout]
kind = "fly"
energy = ["energy"]
i0 = ["i0"]
it = ["it"]
ir = ["ir"]
fluorescence = ["iff"]
allowed_roots = ["{root}"]
"""
"""Profile of a fly scan whose files lie under `root`."""


def feed(pipeline, scan, now=0.0):
    for name, doc in scan.documents:
        pipeline.feed(name, doc, now)


def reports(pipeline, channel=None):
    finals = [result.report for result in pipeline.results if result.report.complete]
    return [report for report in finals if channel in (None, report.channel)]


def only(pipeline, channel="transmission"):
    (report,) = reports(pipeline, channel)
    return report


def readings(pipeline, scan):
    """What the layout recovers, without the pipeline."""
    reader = pipeline.profile.build_layout().open(scan.documents[0][1])
    for name, doc in scan.documents[1:-1]:
        reader.feed(name, doc)
    return reader.collect(last=True)


def changed(scan, name, **keys):
    """The same documents with some keys of one kind changed."""
    return dataclasses.replace(
        scan,
        documents=[
            (kind, {**doc, **keys} if kind == name else doc) for kind, doc in scan.documents
        ],
    )


def played(spectrum, sample, dilution=1.0):
    """What the simulated beam really had at a spectrum's energies."""
    mu, foil = (np.array(x) for x in zip(*map(curves(sample).at, spectrum.energy), strict=True))
    return (0.4 + dilution * (mu - 0.4)) if spectrum.origin.channel == "transmission" else mu, foil


def check_equal(spectra, sample, energy, dilution=1.0):
    """Every spectrum is the played one: energy to 0.02 eV, mu to 1e-3 of the step."""
    assert spectra
    for spectrum, foil in spectra.values():
        np.testing.assert_allclose(spectrum.energy, np.unique(energy), atol=0.02, rtol=0)
        mu, metal = played(spectrum, sample, dilution)
        if spectrum.origin.channel == "transmission":
            np.testing.assert_allclose(spectrum.mu, mu, atol=1e-3 * dilution)
        else:
            scale = (spectrum.mu @ mu) / (mu @ mu)
            np.testing.assert_allclose(spectrum.mu / scale, mu, atol=1e-3)
        if foil is not None:
            np.testing.assert_allclose(foil.mu, metal, atol=1.5e-3)


def check_valid(documents):
    for name, doc in documents:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(doc)


def refusals(results):
    return [r.report.refusal and r.report.refusal.name for r in results]


def flags(result):
    return [flag.name for flag in result.report.flags]


def channels(results):
    return [(r.report.channel, r.report.sweep) for r in results]
