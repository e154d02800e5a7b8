"""Write what larch computes and reads, to compare with.

`larch_normalize.json` holds norm and flat at our ranges, `../data/athena.prj` a
project that larch wrote, `larch_athena.json` what larch reads from it.

Run in an environment with the `peers` extra, from the root of the checkout:

    python tests/goldens/make_larch.py
"""

import json
from dataclasses import asdict
from pathlib import Path

import larch
from larch import Group
from larch.io import create_athena, read_athena
from larch.xafs import pre_edge

from rankaae_stream.files.read import read_spectrum
from rankaae_stream.spectrum import K_EDGES, NormalizationRanges

HERE = Path(__file__).parent
SPECTRA = HERE.parents[1] / "profiles" / "spectra"
CASES = (
    ("Fe/Fe2O3_rt_01.xdi", "Fe", NormalizationRanges()),
    ("Fe/FeO_rt_01.xdi", "Fe", NormalizationRanges()),
    ("Fe/Fe3O4_rt_01.xdi", "Fe", NormalizationRanges(norm2=300.0, nnorm=2)),
    ("V/V2O5.xdi", "V", NormalizationRanges()),
    ("Mn/mn_mno.xdi", "Mn", NormalizationRanges()),
    ("Mn/mn_mno2.xdi", "Mn", NormalizationRanges(norm2=90.0, nnorm=0)),
    ("Mn/mn_mn2o3.xdi", "Mn", NormalizationRanges(pre1=-20.0, pre2=-10.0, npre=0)),
)


def main() -> None:
    """All goldens."""
    normalization()
    athena()


def athena() -> None:
    """A project of two groups, as larch writes it and reads it back."""
    path = HERE.parent / "data" / "athena.prj"
    path.unlink(missing_ok=True)  # larch would read it first
    project = create_athena(str(path))
    for file, label in (("Fe/FeO_rt_01", "FeO_rt_01"), ("V/V2O5", "V2O5 RT")):
        spectrum = read_spectrum(SPECTRA / f"{file}.xdi")
        group = Group(energy=spectrum.energy, mu=spectrum.mu, label=label, filename=label)
        pre_edge(group)
        project.add_group(group)
    project.save()
    read = read_athena(str(path), do_preedge=False, do_bkg=False, do_fft=False)
    groups = [
        {
            "label": str(group.label),
            "energy": [float(value) for value in group.energy],
            "mu": [float(value) for value in group.mu],
        }
        for group in read.groups.values()
    ]
    out = {"larch": larch.version.__version__, "groups": groups}
    (HERE / "larch_athena.json").write_text(json.dumps(out) + "\n", encoding="utf-8")


def normalization() -> None:
    """Every case's norm, flat and step."""
    cases = []
    for file, element, ranges in CASES:
        spectrum = read_spectrum(SPECTRA / file)
        group = Group(energy=spectrum.energy, mu=spectrum.mu)
        pre_edge(group, e0=K_EDGES[element], **asdict(ranges))
        cases.append(
            {
                "file": file,
                "element": element,
                "ranges": asdict(ranges),
                "edge_step": float(group.edge_step),
                "norm": [float(value) for value in group.norm],
                "flat": [float(value) for value in group.flat],
            }
        )
    out = {"larch": larch.version.__version__, "cases": cases}
    (HERE / "larch_normalize.json").write_text(json.dumps(out) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
