"""Three sources, one noun: our Parquet, the original CSV, folders of FEFF runs."""

import contextlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from rankaae_stream.errors import ConfigurationError
from rankaae_stream.spectrum import K_EDGES
from training.config import Data, Grid
from training.descriptors import DESCRIPTORS
from training.folders import DATA
from training.simulated import dataset
from training.simulated.sources import SourceError, elements, feff, read_sites
from training.simulated.sources import csv as csv_source
from training.simulated.sources import parquet as parquet_source
from training.simulated.sources.csv import Table, write_table
from training.simulated.sources.physical import MISLABELLED, R0, unphysical, valence_sum
from training.simulated.sources.site import Site, checked

RUNS = Path(__file__).resolve().parents[2] / "data" / "feff"
HEMATITE, CUPRATE = RUNS / "Fe2O3_Fe_feff10", RUNS / "NaCuO_Cu_feff9"
ENERGY = K_EDGES["Fe"] - 2.0 + np.arange(70.0)
EDGE = 0.5 + np.arctan(ENERGY - K_EDGES["Fe"] - 5.0) / np.pi


def settings(source, simulated, **more):
    return Data(source=source, simulated=simulated, core_hole_width=1.25, **more)


def iron_table(rows=3, **aux):
    return Table(
        index=("material", "site"),
        material=tuple(f"mp-{i}" for i in range(rows)),
        site=("0",) * rows,
        energy=ENERGY,
        mu=np.stack([EDGE + 0.01 * i for i in range(rows)]),
        aux={name: np.asarray(values, dtype=float) for name, values in aux.items()},
        comments=(" made for a test",),
    )


# ---- CSV -----------------------------------------------------------------------------


def test_labels_come_from_the_columns_in_any_order_and_subset(tmp_path):
    path = tmp_path / "Fe.csv"
    write_table(path, iron_table(MOOD=[2.6, 2.7, 2.8], OS=[2, 3, np.nan], AUX_=[1, 2, 3]))
    found = dataset.read("Fe", settings("csv", "*.csv"), Grid(), tmp_path)
    names = list(DESCRIPTORS)
    np.testing.assert_array_equal(found.labels[:, 0], [2, 3, np.nan])
    np.testing.assert_array_equal(
        found.labels[:, names.index("min_ligand_distance")], [2.6, 2.7, 2.8]
    )
    assert np.isnan(found.labels[:, names.index("coordination_number")]).all()
    assert list(found.group) == ["mp-0", "mp-1", "mp-2"]
    assert np.isfinite(found.mu).all()


def test_a_table_groups_materials_by_their_compound(tmp_path):
    write_table(tmp_path / "Fe.csv", iron_table(OS=[2, 3, 3]))
    (tmp_path / "hosts.csv").write_text(
        "id,host_formula,oxidation_state\nmp-0,FeO,\nmp-2,Fe2O3,4\n", encoding="utf-8"
    )
    data = settings("csv", "Fe.csv", table="hosts.csv")
    found = dataset.read("Fe", data, Grid(), tmp_path)
    assert list(found.group) == ["FeO", "mp-1", "Fe2O3"]
    np.testing.assert_array_equal(found.labels[:, 0], [2, 3, 4])
    assert [name for name, _ in found.sources] == ["Fe.csv", "hosts.csv"]


@given(
    mu=npst.arrays(float, (2, 3), elements=st.floats(allow_infinity=False)),
    labels=npst.arrays(float, 2, elements=st.floats()),
    material=st.lists(
        st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])).filter(
            lambda text: not text.startswith("#")
        ),
        min_size=2,
        max_size=2,
    ),
)
def test_what_is_written_is_read_back_to_the_last_bit(tmp_path_factory, mu, labels, material):
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    energy = np.array([7110.0, 7110.1 + 1e-12, 7190.3])
    table = Table(("m", "s"), tuple(material), ("0", "1"), energy, mu, {"OS": labels}, ("c",))
    write_table(path, table)
    assert path.read_text(encoding="utf-8").startswith("#c\n")
    sites = list(csv_source.read(path, "Fe"))
    assert len(sites) == 2
    for i, site in enumerate(sites):
        assert site.row.endswith(f"({material[i]}, {i})")
        assert site.group == (material[i] or f"line {i + 3}")
        np.testing.assert_array_equal(site.energy, energy)
        np.testing.assert_array_equal(site.mu, mu[i])
        np.testing.assert_array_equal(site.labels[0], labels[i])


def test_what_would_not_be_read_back_is_not_written(tmp_path):
    table = iron_table()
    for material in ("#1", "two\nlines"):
        broken = Table(**{**vars(table), "material": (material, "a", "b")})
        with pytest.raises(ValueError, match="would not be read back"):
            write_table(tmp_path / "x.csv", broken)


HEAD = "m,s,AUX_OS,ENE_7100.0,ENE_7150.0,ENE_7180.0\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "x.csv: no heading"),
        ("# only a comment\n", "no heading"),
        (HEAD.replace("7150", "7000"), "heading: the energies fall from ENE_7100.0 to ENE_7000.0"),
        (HEAD.replace("ENE_7150.0", "7150.0"), "'7150.0' stands where none may"),
        (HEAD.replace("ENE_7150.0", "ENE_abc"), "heading: could not convert"),
        (HEAD.replace("ENE_7150.0", "ENE_nan"), "an energy is no number"),
        (HEAD.replace("AUX_OS", "AUX_OS,AUX_OS"), "oxidation_state is there twice"),
        ("m,s,AUX_OS\n", "0 ENE_ columns"),
        (HEAD + "# c\na,0,2,0.1,0.5\n", "line 3: 5 columns; expected 6 as in the heading"),
        (HEAD + "a,0,2,0.1,x,1\n", "line 2: 'x' in column ENE_7150.0"),
        (HEAD + 'a,0,2,"0.1,x,1\n', "cannot be read"),
        (HEAD + "a,0,2,0.1,,1\n", r"line 2 \(a, 0\): 1 of 3 points of mu are no numbers"),
        (HEAD + "a,0,2,0.1,nan,1\n", "the first is point 2; expected finite numbers"),
        (HEAD.replace("7180", "7151") + "a,0,2,0.1,1,1\n", "reaches .45 eV"),
    ],
)
def test_a_csv_that_is_wrong_is_named_with_its_row(tmp_path, text, complaint):
    (tmp_path / "x.csv").write_text(text, encoding="utf-8")
    with pytest.raises(SourceError, match=complaint) as caught:
        read_sites("Fe", settings("csv", "x.csv"), tmp_path)
    assert caught.value.file == "x.csv"
    assert caught.value.expected


def test_bad_rows_are_listed_and_the_rest_is_read(tmp_path):
    table = iron_table(5, OS=[2, 2, 3, 3, 3])
    table.mu[1, 7] = np.nan
    table.mu[3] *= 5.0
    write_table(tmp_path / "a.csv", table)
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    data = settings("csv", "*.csv")
    with pytest.raises(SourceError, match="line 4"):
        read_sites("Fe", data, tmp_path)
    found = read_sites("Fe", data, tmp_path, skip_bad=True)
    assert [site.group for site in found.sites] == ["mp-0", "mp-2", "mp-4"]
    assert [one.split(":")[0] for one in found.bad] == ["a.csv, line 4 (mp-1, 0)", "b.csv"]
    assert dict(found.dropped) == {"mu leaves [-0.02, 2.8]": 1}


@given(st.one_of(st.text(), st.text(alphabet='mAUXEN_OS,.0179-e#"\n\r ')))
def test_no_csv_text_raises_anything_but_the_named_error(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("any") / "x.csv"
    path.write_bytes(text.encode("utf-8", errors="surrogatepass"))
    with contextlib.suppress(SourceError):
        list(csv_source.read(path, "Fe"))
    with pytest.raises(ConfigurationError):
        read_sites("Fe", settings("csv", "x.csv"), path.parent, skip_bad=True)


def test_two_columns_at_one_energy_are_averaged(tmp_path):
    table = iron_table(1, OS=[2])
    energy = table.energy.copy()
    energy[30] = energy[29]
    write_table(tmp_path / "x.csv", Table(**{**vars(table), "energy": energy}))
    (site,) = read_sites("Fe", settings("csv", "x.csv"), tmp_path).sites
    assert site.energy.size == energy.size - 1
    assert site.mu[29] == pytest.approx(table.mu[0, 29:31].mean())


# ---- FEFF ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "element", "group", "points", "labels"),
    [
        # Published: 3 x 1.944 and 3 x 2.114 Å.
        (HEMATITE, "Fe", "Fe2O3", 93, {"coordination_number": 6, "ligand_coordination": 4}),
        (CUPRATE, "Cu", "NaCuO", 173, {"coordination_number": 4, "bond_length_spread": 0.0}),
    ],
)
def test_runs_of_feff9_and_feff10_are_read_as_they_lie(run, element, group, points, labels):
    data = settings("feff", run.name)
    found = dataset.read(element, data, Grid(), RUNS)
    site = feff.read(run)
    assert (site.element, site.group) == (element, group)
    assert site.energy.size == points
    assert site.symbols[0] == element
    assert np.linalg.norm(site.xyz, axis=1).max() <= feff.RADIUS
    assert np.isnan(found.labels[0, 0])
    for name, value in labels.items():
        assert found.labels[0, list(DESCRIPTORS).index(name)] == pytest.approx(value, abs=1e-6)
    assert found.first[0] == pytest.approx(site.energy[0] - K_EDGES[element])


def test_a_run_equals_the_row_of_our_own_file():
    """The hematite run is a row of the shipped iron: spectrum and labels agree."""
    site = feff.read(HEMATITE)
    ours = read_sites("Fe", settings("parquet", "fe-feff10-1.parquet"), DATA).sites
    near = [
        one
        for one in ours
        if one.group == "Fe2O3" and one.native and np.allclose(one.energy, site.energy, atol=0.01)
    ]
    assert min(np.abs(one.mu - site.mu).max() for one in near) < 1e-4


def test_valences_of_runs_come_from_the_table(tmp_path):
    for run in (HEMATITE, CUPRATE):
        shutil.copytree(run, tmp_path / run.name)
    (tmp_path / "valences.csv").write_text(
        f"id,oxidation_state\n{HEMATITE.name},3\n", encoding="utf-8"
    )
    data = settings("feff", "*", table="valences.csv")
    assert elements(data, tmp_path) == ("Cu", "Fe")
    assert dataset.read("Fe", data, Grid(), tmp_path).labels[0, 0] == 3.0
    assert np.isnan(dataset.read("Cu", data, Grid(), tmp_path).labels[0, 0])
    with pytest.raises(ConfigurationError, match="no Mn site"):
        read_sites("Mn", data, tmp_path)


@pytest.fixture
def run(tmp_path):
    """A copy of the hematite run that a test may spoil: change(file, old, new)."""
    folder = tmp_path / "run"
    shutil.copytree(HEMATITE, folder)

    def change(file, old, new, count=1):
        text = (folder / file).read_text(encoding="utf-8")
        assert old in text
        (folder / file).write_text(text.replace(old, new, count), encoding="utf-8")

    change.folder = folder
    change.read = lambda: read_sites("Fe", settings("feff", "run"), tmp_path).sites[0]
    return change


def test_without_feff_inp_the_cluster_is_cut_from_the_structure(run):
    (run.folder / "feff.inp").unlink()
    site, known = run.read(), feff.read(HEMATITE)
    assert sorted(site.symbols) == sorted(known.symbols)
    np.testing.assert_allclose(
        np.linalg.norm(site.xyz, axis=1), np.linalg.norm(known.xyz, axis=1), atol=0.002
    )


def test_without_a_structure_file_the_input_is_enough(run):
    (run.folder / "structure.cif").unlink()
    assert run.read().group == "run"
    assert feff.parse_input((CUPRATE / "feff.inp").read_text(), "x").formula == "NaCuO"


def cut(lines):
    def spoil(run):
        path = run.folder / "xmu.dat"
        text = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(text[:-lines]), encoding="utf-8")

    return spoil


def torn(run):
    path = run.folder / "xmu.dat"
    path.write_text(path.read_text(encoding="utf-8")[:-60], encoding="utf-8")


def lost(*names):
    def spoil(run):
        for name in names:
            (run.folder / name).unlink()

    return spoil


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (torn, r"run/xmu.dat, line \d+: .* expected 6 columns: omega, e, k, mu, mu0, chi \(cut"),
        (cut(5), r"run/xmu.dat, row 88: the last k is 3.95 1/Å; expected 4.2 1/Å as feff.inp"),
        (cut(93), "run/xmu.dat: 0 rows of numbers"),
        (lost("xmu.dat"), "run: no xmu.dat; expected a finished FEFF run"),
        (lost("feff.inp", "structure.cif"), "run: no structure; expected feff.inp with ATOMS"),
        (lambda run: run("xmu.dat", "2.3525587534E-02", "NaN"), "1 of 93 points of mu are no"),
        (lambda run: run("xmu.dat", "7113.5103", "7112.5103"), "energy falls from 7112.79 to"),
        (lambda run: run("xmu.dat", "Z=26", "Z=27"), "xmu.dat says element Co, feff.inp Fe"),
        (lambda run: run("feff.inp", "EDGE K", "EDGE L3"), "xmu.dat says edge K, feff.inp L3"),
        (lambda run: run("feff.inp", " 0 Fe 0.0", " 2 Fe 0.0"), "0 atoms have ipot 0"),
        (lambda run: run("feff.inp", " 2 26 Fe", " 3 26 Fe"), "no potential 2"),
        (lambda run: run("feff.inp", "-0.77051 1.57269", "-0.77051 x"), r"feff.inp, line 20: "),
        (lambda run: run("structure.cif", "data_global", "x"), "structure.cif: cannot be read"),
    ],
)
def test_a_run_that_is_wrong_is_named(run, spoil, complaint):
    spoil(run)
    with pytest.raises(SourceError, match=complaint):
        run.read()


def test_a_structure_without_the_absorber_is_named(run):
    (run.folder / "structure.cif").unlink()
    shutil.copy(CUPRATE / "POSCAR", run.folder)
    with pytest.raises(SourceError, match=r"the structure holds .*; expected the absorber Fe"):
        run.read()


def test_an_absorber_that_a_structure_leaves_open_is_asked_for(run):
    for name in ("feff.inp", "structure.cif"):
        (run.folder / name).unlink()
    (run.folder / "POSCAR").write_text(
        "two irons\n1.0\n4 0 0\n0 4 0\n0 0 9\nFe O\n2 2\ndirect\n"
        "0 0 0\n0 0 0.3\n0.5 0.5 0.05\n0.5 0 0.5\n",
        encoding="utf-8",
    )
    with pytest.raises(SourceError, match=r"2 different Fe sites; expected feff.inp with ATOMS"):
        run.read()


@given(st.text(), st.text())
def test_no_text_in_a_run_raises_anything_but_the_named_error(one, two):
    for parse in (feff.parse_xmu, feff.parse_input):
        for text in (one, f"POTENTIALS\n{one}\nATOMS\n{two}", f"# Abs Z={one}\n{two}"):
            with contextlib.suppress(SourceError):
                parse(text, "x")


# ---- Parquet -------------------------------------------------------------------------


def test_a_parquet_row_that_is_wrong_is_named_and_can_be_skipped(tmp_path):
    table = pq.read_table(DATA / "fe-feff10-1.parquet").slice(0, 4)
    rows = table.to_pylist()
    rows[1]["mu"][3] = float("nan")
    rows[2]["symbols"][0] = "Co"
    pq.write_table(pa.Table.from_pylist(rows, table.schema), tmp_path / "x.parquet")
    data = settings("parquet", "x.parquet")
    with pytest.raises(SourceError, match=r"x.parquet, row 2 \(.*\): 1 of 93 points of mu"):
        read_sites("Fe", data, tmp_path)
    found = read_sites("Fe", data, tmp_path, skip_bad=True)
    assert len(found.sites) == 2
    assert "begins with Co; expected the absorber Fe first" in found.bad[1]


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda path: path.write_bytes(b"no parquet"), "cannot be read"),
        (lambda path: pq.write_table(pa.table({"mu": [1.0]}), path), "no column element, oxid"),
    ],
)
def test_a_parquet_file_that_is_none_is_named(tmp_path, spoil, complaint):
    spoil(tmp_path / "x.parquet")
    with pytest.raises(SourceError, match=f"x.parquet: {complaint}"):
        read_sites("Fe", settings("parquet", "x.parquet"), tmp_path)


def test_absolute_globs_are_refused_with_the_folder_they_are_below(tmp_path):
    with pytest.raises(ConfigurationError, match="expected a glob below"):
        read_sites("Fe", settings("parquet", "/x/*.parquet"), tmp_path)


# ---- what is kept --------------------------------------------------------------------


def cluster(*distances):
    xyz = np.array(
        [[0.0, 0, 0], *([d * np.cos(i), d * np.sin(i), 0] for i, d in enumerate(distances))]
    )
    return {"symbols": ("Fe", *"O" * len(distances)), "xyz": xyz}


def iron(mu=EDGE, valence=3.0, **more):
    return Site("f", "r", "Fe", ENERGY, np.asarray(mu, dtype=float), valence, "x", **more)


def with_carbon(site):
    """As in a carbonyl, whose bonds to carbon no sum over oxygens holds."""
    return replace(site, symbols=(*site.symbols, "C"), xyz=np.vstack([site.xyz, [[0.0, 0.0, 1.8]]]))


SPIKE = EDGE + 1.6 * (np.abs(ENERGY - K_EDGES["Fe"] - 4.0) < 0.6)


@pytest.mark.parametrize(
    ("site", "reason"),
    [
        (iron(), ""),
        (iron(**cluster(1.6, 1.65)), ""),
        (iron(EDGE * 3), "mu leaves"),
        (iron(EDGE - 0.2), "mu leaves"),
        (iron(EDGE * 0.7), "mu ends outside"),
        (iron(**cluster(2.0, 2.8)), "fewer than 2 oxygens"),
        (iron(**cluster(2.0, 2.0, 0.5)), "atoms nearly touch"),
        (iron(SPIKE, **cluster(2, 2, 2, 2, 2)), "edge collapsed into a spike"),
        # A tetrahedral pre-edge peak is real.
        (iron(SPIKE, **cluster(1.87, 1.87, 1.87, 1.87)), ""),
        # Six bonds at 2.015 Å carry 3.0 by the R0 of Fe(III), 3.2 by that of Fe(IV).
        (iron(**cluster(*[2.015] * 6)), ""),
        (iron(valence=4.0, **cluster(*[2.015] * 6)), "bond valences miss the valence by more than"),
        (iron(**cluster(*[2.13] * 6)), ""),  # 2.2
        (iron(**cluster(*[2.14] * 6)), "bond valences miss"),  # 2.15
        (iron(**cluster(*[1.91] * 6)), "bond valences miss"),  # 4.0
        (iron(valence=np.nan, **cluster(*[1.91] * 6)), ""),
        (iron(valence=6.0, **cluster(*[1.91] * 6)), ""),  # no R0 says what Fe(VI) has
        (iron(native=False, **cluster(*[1.91] * 6)), ""),
        (iron(valence=3.0), ""),
        (with_carbon(iron(**cluster(*[2.3] * 4))), ""),
        (iron(**cluster(*[2.3] * 4)), "bond valences miss"),
    ],
)
def test_unphysical_sites_are_dropped_by_one_rule(site, reason):
    found = unphysical(checked(site))
    assert found.startswith(reason)
    assert bool(found) == bool(reason)


SHIPPED = {"Ti": 10, "V": 25, "Cr": 10, "Mn": 15, "Fe": 5, "Co": 0, "Ni": 0, "Cu": 168}


@pytest.mark.slow
@pytest.mark.parametrize(("element", "mislabelled"), SHIPPED.items())
def test_of_the_shipped_sites_none_is_bad_and_only_the_mislabelled_are_dropped(
    element, mislabelled
):
    found = read_sites(element, settings("parquet", f"{element.lower()}-*.parquet"), DATA)
    assert found.dropped == ({MISLABELLED: mislabelled} if mislabelled else {})
    assert not found.bad
    assert len(found.sites) > 800


@pytest.mark.parametrize(
    ("element", "material", "kept"),
    [
        ("V", "amcsd:94", False),  # "V2O5": häggite without its hydrogens
        ("V", "amcsd:73", False),  # "VO2": montroseite VOOH
        ("Cr", "amcsd:18061", True),  # K2CrO4, whose bonds are refined 0.04 Å too short
        ("Ni", "amcsd:15260", True),  # LaNiO3, although its sum is 3.66
    ],
)
def test_a_site_falls_with_all_its_geometries(element, material, kept, tmp_path):
    rows = shipped(element, [("material", "==", material), ("substituted", "==", False)])
    assert set(rows["variant"].to_pylist()) == {0, 1, 2, 3, 4}
    assert count(element, rows, tmp_path) == (5, 0) if kept else (0, 5)


def test_only_the_relaxed_geometry_speaks_for_a_site(tmp_path):
    """A rattled row may stray as far as it likes; without the relaxed one nobody can tell."""
    rows = shipped("Fe", [("host_formula", "==", "Fe2O3"), ("substituted", "==", False)])
    site = rows["site"].to_pylist()[0]
    rows = [row for row in rows.to_pylist() if row["site"] == site]
    variants = [row["variant"] for row in rows]
    assert sorted(variants) == [0, 1, 2, 3, 4]

    def widened(variant):
        return [
            {**row, "xyz": [1.2 * x for x in row["xyz"]]} if row["variant"] == variant else row
            for row in rows
        ]

    assert count("Fe", rows, tmp_path) == (5, 0)
    assert count("Fe", widened(1), tmp_path) == (5, 0)
    assert count("Fe", widened(0), tmp_path) == (0, 5)
    assert count("Fe", widened(0)[::-1], tmp_path) == (0, 5)
    assert count("Fe", [row for row in widened(0) if row["variant"]], tmp_path) == (4, 0)
    unnamed = [{k: v for k, v in row.items() if k != "material"} for row in widened(0)]
    assert count("Fe", unnamed, tmp_path) == (4, 1)


def shipped(element, filters):
    batches = sorted(DATA.glob(f"{element.lower()}-*.parquet"))
    return pa.concat_tables(pq.read_table(batch, filters=filters) for batch in batches)


def count(element, rows, folder):
    """How many of these rows are (kept, dropped as mislabelled).

    Another site keeps them company, for a file of which nothing is left is an error.
    """
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
    pq.write_table(table, folder / "rows.parquet")
    other = shipped(element, [("substituted", "==", True)]).slice(0, 1)
    pq.write_table(other, folder / "other.parquet")
    found = read_sites(element, settings("parquet", "*.parquet"), folder)
    return len(found.sites) - 1, found.dropped.get(MISLABELLED, 0)


def test_substituted_sites_have_the_bond_valence_sum_they_were_scaled_to(tmp_path):
    """Which shows every R0 that is not copper's, whose sites are all native."""
    relaxed = [("substituted", "==", True), ("variant", "==", 0)]
    misfits, seen = [], set()
    for element in R0.keys() - {"Cu"}:
        pq.write_table(shipped(element, relaxed), tmp_path / "x.parquet")
        for site in parquet_source.read(tmp_path / "x.parquet"):
            assert isinstance(site, Site)
            misfits.append(valence_sum(site) - site.oxidation_state)
            seen.add((element, site.oxidation_state))
    native_only = {("Cr", 5)}
    assert seen == {(e, v) for e in R0.keys() - {"Cu"} for v in R0[e]} - native_only
    assert len(misfits) > 1000
    assert np.median(np.abs(misfits)) < 0.001
    assert np.abs(misfits).max() < 0.35


@pytest.mark.parametrize(
    ("element", "valence", "bonds", "within"),
    [
        ("Ti", 4, [1.948] * 4 + [1.980] * 2, 0.2),  # rutile
        ("V", 5, [1.577, 1.779, 1.878, 1.878, 2.017, 2.791], 0.2),  # V2O5
        ("Fe", 3, [1.944] * 3 + [2.114] * 3, 0.1),  # hematite
        ("Mn", 2, [2.222] * 6, 0.2),  # manganosite
        ("Ni", 2, [2.089] * 6, 0.2),  # bunsenite
        ("Cu", 2, [1.951] * 2 + [1.961] * 2 + [2.784] * 2, 0.1),  # tenorite
        ("Cu", 1, [1.849] * 2, 0.1),  # cuprite
    ],
)
def test_bond_valences_of_published_structures_add_up_to_the_valence(
    element, valence, bonds, within
):
    one = cluster(*bonds)
    site = replace(
        iron(**one),
        element=element,
        symbols=(element, *one["symbols"][1:]),
        oxidation_state=valence,
    )
    assert valence_sum(site) == pytest.approx(valence, abs=within)


def test_a_run_of_a_wrong_valence_is_dropped_and_one_of_none_is_kept(tmp_path):
    given = {"right": "3", "wrong": "4", "unknown": ""}
    for name in given:
        shutil.copytree(HEMATITE, tmp_path / name)
    lines = ["id,oxidation_state", *(f"{name},{valence}" for name, valence in given.items())]
    (tmp_path / "valences.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = read_sites("Fe", settings("feff", "*", table="valences.csv"), tmp_path)
    assert sorted(site.file for site in found.sites) == ["right", "unknown"]
    assert found.dropped == {
        "bond valences miss the valence by more than 0.8 or 50% of it": 1,
    }


def test_sites_of_unknown_valence_have_their_share_in_every_part():
    data = settings("parquet", "fe-feff10-*.parquet")
    simulated = dataset.read("Fe", data, Grid())
    simulated.labels[simulated.labels[:, 0] == 4.0, 0] = np.nan
    parts = dataset.split(simulated, data)
    unknown = np.isnan(simulated.labels[:, 0])
    for rows, share in ((parts.train, 0.7), (parts.validation, 0.15), (parts.test, 0.15)):
        assert unknown[rows].sum() / unknown.sum() == pytest.approx(share, abs=0.08)
