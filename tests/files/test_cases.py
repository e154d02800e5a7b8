"""Files as people have them: what each of tests/data/cases is answered, and what is said of it."""

from pathlib import Path
from typing import NamedTuple

import pytest

from rankaae_stream.inference import find_files, infer_file

CASES = Path(__file__).parents[1] / "data" / "cases" / "files"


class Right(NamedTuple):
    """Oxidation states in the file's order, or words of the refusal; a flag; words of a note."""

    states: tuple[float | str, ...]
    flag: str = ""
    note: str = ""
    shift: float = -0.59


ONE = (3.0,)
BOTH = (3.0, 2.0)
FOIL = "energy_shift"
RIGHT = {
    "angle_beside_energy.dat": Right(ONE, note="from i0, it"),
    "athena_chi_group.prj": Right(("chi of hematite is chi(k)", 3.0)),
    "athena_eshift.prj": Right(BOTH, note="-6 eV, was added"),
    "athena_eshift_small.prj": Right(ONE, note="+2 eV, was added"),
    "athena_reference_tied.prj": Right(
        ONE, FOIL, "reference group 'Ref hematite' is the foil", shift=-2.1
    ),
    "athena_z_unset.prj": Right(ONE),
    "cls_event_id.dat": Right(("Event-ID, Energy, Energy:fbk, Det1, Det2, Det3",)),
    "decimal_comma_dot_in_header.csv": Right(ONE, note="commas were read as decimal points"),
    "decimal_comma_tab.txt": Right(ONE, note="commas were read as decimal points"),
    "desy.fio": Right(ONE, FOIL, "from I0, I1", shift=0.905),
    "exafs_xdac.dat": Right(ONE, "element_deduced", "+7 eV from the Fe K edge"),
    "exafs_xmu_no_element.xmu": Right(ONE, "element_deduced", "+7 eV from the Fe K edge"),
    "fluorescence_with_idle_it.dat": Right(ONE, note="i0 and it (transmission) show no edge"),
    "fluorescence_xdi_sum.xdi": Right(ONE, note="i0 and i1 (transmission) show no edge"),
    "folder_of_numbers": Right((3.0, 3.0), FOIL),
    "fortran_d.dat": Right(ONE),
    "header_comment_as_names.dat": Right(
        ONE, FOIL, "from Ion Chamber 0, Ion Chamber 1", shift=0.905
    ),
    "header_double_hash.dat": Right((3.0, 3.0), FOIL, "from i0, iff", shift=0.905),
    "header_semicolon_regions.001": Right(("Energy, P2, D1, D2, D3, D4",)),
    "l3_la_no_element.dat": Right(("V K (5465 eV) or La L3 (5483 eV); state the element",)),
    "nan_words.dat": Right(ONE, "bad_signal"),
    "pf9809.dat": Right(ONE, note="converted to eV with the d-spacing of 3.13551 Å"),
    "reference_iref.dat": Right((3.0, 3.0), FOIL),
    "reference_mu_ref.dat": Right(ONE, FOIL),
    "reference_thick_foil.dat": Right(ONE, FOIL),
    "reference_xdi_it_ir.xdi": Right(ONE, FOIL),
    "reference_xdi_standard.xdi": Right(ONE, FOIL),
    "short_last_line.dat": Right(ONE, note="line 281 has 2 of 3 columns and was left out"),
    "spec_one_scan.spec": Right(ONE, note="read as keV"),
    "spec_two_scans.spec": Right(BOTH),
    "ssrl_ascii.dat": Right(ONE, note="from I0, I1"),
    "two_blocks_one_file.dat": Right(BOTH),
    "utf16_excel.txt": Right(ONE),
    "utf8_bom.xdi": Right(ONE),
    "xdi_angle_dspacing.xdi": Right(ONE, note="with the d-spacing of 3.13555 Å"),
    "xdi_chambers_of_two_hutches.xdi": Right(ONE, note="not used: I0_eh1/I1_eh1"),
    "xdi_kev.xdi": Right(ONE, note="read as keV"),
    "xdi_remark_without_hash.xdi": Right(ONE, note="lines 9, 10 are remarks without #"),
    "xdi_two_energies.xdi": Right(ONE, FOIL, shift=0.905),
    "xmu_sign_turned.xdi": Right(ONE, FOIL, "xmu has the opposite sign", shift=0.905),
}
COLUMNS = {
    "cls_event_id.dat": {"energy": "Energy:fbk", "i0": "Det1", "it": "Det2"},
    "desy.fio": {"energy": "energy", "i0": "I0", "it": "I1"},
    "exafs_xdac.dat": {"energy": "Energy", "i0": "I0", "it": "It"},
    "fluorescence_xdi_sum.xdi": {"energy": "energy", "i0": "i0", "iff": "Fe_Ka_mca*"},
    "header_semicolon_regions.001": {"energy": "P1", "i0": "D1", "it": "D2"},
    "pf9809.dat": {"energy": "2", "i0": "4", "it": "5"},
    "spec_two_scans.spec": {"energy": "Energy", "i0": "I0", "it": "3"},
    "ssrl_ascii.dat": {"energy": "Achieved Energy", "i0": "I0", "it": "I1"},
    "two_blocks_one_file.dat": {"energy": "1", "i0": "2", "it": "3"},
}


def answers(name, **options):
    return [a for file in find_files([str(CASES / name)]) for a in infer_file(file, **options)]


@pytest.mark.parametrize("name", RIGHT)
def test_a_file_as_people_have_it_is_answered(name):
    right = RIGHT[name]
    found = answers(name)
    assert len(found) == len(right.states), [report.refusal for report, *_ in found]
    for (report, *_), state in zip(found, right.states, strict=True):
        if isinstance(state, str):
            assert report.refusal is not None
            assert state in report.refusal.message
            continue
        assert report.refusal is None, report.refusal
        assert report.estimate("oxidation_state").value == pytest.approx(state, abs=0.1)
        assert report.element == "Fe"
        assert not right.flag or right.flag in [flag.name for flag in report.flags]
        if right.flag == FOIL:
            # Where the axis was put 1.5 eV off the foil takes that back, and 0.9 eV of its own.
            assert report.shifts.calibration == pytest.approx(right.shift, abs=0.02)
    said = "; ".join(note for _, notes, _ in found for note in notes)
    assert right.note in said


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_can_be_named_for_a_file_of_any_format(name):
    found = answers(name, columns=COLUMNS[name], element="Fe")
    states = BOTH if "two" in name else ONE
    assert [report.refusal for report, *_ in found] == [None] * len(states)
    values = [report.estimate("oxidation_state").value for report, *_ in found]
    assert values == pytest.approx(states, abs=0.1)
