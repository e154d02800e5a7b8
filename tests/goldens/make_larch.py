"""Write larch_normalize.json: larch's norm and flat at our ranges.

Run in an environment with the `peers` extra, from the root of the checkout:

    python tests/goldens/make_larch.py
"""

import json
from dataclasses import asdict
from pathlib import Path

import larch
from larch import Group
from larch.xafs import pre_edge

from rankaae_stream.files.xdi import read_xdi
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
    """Every case's norm, flat and step."""
    cases = []
    for file, element, ranges in CASES:
        spectrum = read_xdi(SPECTRA / file)
        group = Group(energy=spectrum.energy(), mu=spectrum.mu())
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
