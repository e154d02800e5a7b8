"""Headers in the manner of many beamlines, over one spectrum: each is answered by its names."""

import re

import numpy as np
import pytest

from rankaae_stream import resources
from rankaae_stream.files.read import read_spectrum
from rankaae_stream.inference import infer_file

MEASURED = read_spectrum(resources.folder("profiles/spectra") / "Fe" / "Fe2O3_rt_01.xdi")
KEEP = MEASURED.energy < 7400.0
ENERGY, MU = MEASURED.energy[KEEP], MEASURED.mu[KEEP]
N = ENERGY.size
I0 = 2e5 + 50.0 * np.arange(N)
IT, IR = I0 * np.exp(-MU), I0 * np.exp(-MU - 0.5)
IFF = I0 * (MU - MU.min() + 0.1) / 20.0
ONE, ZERO = np.ones(N), np.zeros(N)
ANGLE = np.degrees(np.arcsin(12398.4198 / (2.0 * 3.1356 * ENERGY)))

EPICS = """; Epics Scan 1 dimensional scan
; Scan Regions: EXAFS scan with        3 regions
;   E0 =       7112.00
;     -150.00    -10.000     5.0000     29.000     1.0000   0
; column labels:
; P1 = {Energy} --> 13XXX:E:Energy.VAL
; P2 = {Scaler Count Time} --> 13XXX:scaler1.TP
; D1 = {I0}  --> 13XXX:scaler1_calc2.VAL
; D2 = {I1}  --> 13XXX:scaler1_calc3.VAL
;--------------------------------------------
;  P1 P2 D1 D2"""
LABVIEW = """# 1-D Scan File created by LabVIEW Control Panel  6/15/2018; Scan time 0 hrs 10 min.
#
#                 E0: 7112.00 eV   379 points
# Detector Names/PVs:
# Preslit/20id:a  PreKB-I0/20id:b  IT/20id:c
# Here is a readable list of column headings:
#  1) Mono Energy (alt) *   4) PreKB-I0
#  2) Scaler preset time *  5) XMAP4:TiKa_Sum
#  3) ID Gap *              6) XMAP4:FeKa_Sum
#
# Column Headings:
#Mono Energy (alt) * Scaler preset time * ID Gap *  PreKB-I0  XMAP4:TiKa_Sum  XMAP4:FeKa_Sum"""
CLS = """# CLS Data Acquisition
# Mon Jan 02 03:04:05 2006
#(1)\t"Event-ID"\t"BL:Energy"\t"MONO:Energy:fbk"\t"BL:mcs03:fbk"\t"BL:mcs04:fbk"
#(1)\t"Event-ID"\t"$(EnergySetting)"\t"$(EnergyFeedback)"\t"$(I0)"\t"$(I1)"
#(2)\t"BL:mcs:background"\t"BL:gap"
# Background counts time=0(x .1 microseconds), 0, 0, 0, 0, 7112.000, 5.0000"""
SSRL = """SSRL   EXAFS Data Collector 1.3
Sun May 21 00:13:57 2006
PTS:        455 COLS:          6
TRANS.DET
FEK.RGN
2-3 unfocused  0.000 -2 Si(220) 1.920156   100000

Weights:
 1.000  1.000  1.000  1.000  1.000  1.000
Offsets:
 0.000  0.000  0.000  144.200  133.500  238.300
Data:
Real time clock
Requested Energy
Achieved Energy
I0
I1
I2
"""
PF = """  9809     KEK-PF   BL9A
 Fe010           22.05.11 17:26 - 22.05.11 18:33 Serial#1
 F2T0
 Ring :   2.5 GeV   425.1 mA -  449.9 mA
 Mono :   Si(111)       D=  3.1356 A    Initial angle= 13.93250 deg
 BL9A      Fluorescence( 3)   Repetition=  1     Points= 1426
 Param file : Std-EXAFS       energy axis(2)     Block =    3

 Block      Init-Eng  Final-Eng      Step/eV     Time/s       Num
     1        6606.20   7061.20         6.50       1.00        70
     2        7061.20   7076.20         1.00       1.00        15
     3        7076.20   7181.20         0.10       2.00      1050
 Ortec(-1)     NDCH = {ndch}
  Angle(c)  Angle(o)    time/s         2         3{more}
      Mode         0         0         1         {mode}{mode2}
    Offset         0         0  1000.000   500.000{offset2}"""
SPEC = """#F Fe2O3_scan
#E 1144942126
#O0      tth        th   energy

#S 1  gescan  energy 6960 7400  257 var
#G0 0 0 0 0 0 1 0 0 0 0 0 0 50 0 0.1
#P0 0.2395 0.2395 27.556
#N 8
#L energy  H  K  L  Epoch  i0  i1  Lytle"""
MRCAT = """MRCAT_XAFS V0.38 Datafile V1
"Fe.0001" created on 9/2/03 on 10-ID
Ring energy= 7.0 GeV
E0= 7112.00
----------
  Energy   Io   It   Iref"""
B18 = "# Diamond Light Source Instrument B18-CORE XAS\n# B18-CORE XAS\n# Sample name: Fe2O3\n#\n"
DOUBLE = (
    " Col 1 /dcm/ENERGY DOUBLE\n Col 2 EXP_I0 DOUBLE\n Col 3 EXP_I1 DOUBLE\n Col 4 EXP_I2 DOUBLE"
)

DIALECTS = {
    "EPICS at the APS": (EPICS, (ENERGY, ONE, I0, IT), "transmission"),
    "LabVIEW at the APS": (LABVIEW, (ENERGY, ONE, 0.1 * ONE, I0, ONE, IFF), "fluorescence"),
    "CLS": (CLS, (ONE, ENERGY + 0.3, ENERGY, I0, IT), "transmission"),
    "SSRL": (SSRL, (ONE, ENERGY + 0.3, ENERGY, I0, IT, IR), "transmission"),
    "9809 in transmission": (
        PF.format(ndch=3, more="", mode=2, mode2="", offset2=""),
        (ANGLE + 0.001, ANGLE, 2 * ONE, I0 + 2000.0, IT + 1000.0),
        "transmission",
    ),
    "9809 in fluorescence": (
        PF.format(ndch=4, more="        21", mode=3, mode2="         5", offset2="     0.000"),
        (ANGLE, ANGLE, 2 * ONE, I0 + 2000.0, IFF + 1000.0, ONE),
        "fluorescence",
    ),
    "SPEC with a dead chamber": (
        SPEC,
        (ENERGY, ZERO, ZERO, ZERO, ONE, I0, ZERO, IFF),
        "fluorescence",
    ),
    "12-BM of the APS": (
        "#D Tue Jul 09 2019\n#S Scan 29; exafsscan\n#C exafs_edge_energy 7.112\n"
        "#C 1_Energy (keV) 2_sec 3_mononrg 4_i0 5_i1 6_i2 7_i3 8_mu01 9_flatot",
        (ENERGY / 1000, ONE, ENERGY / 1000, I0, IT, IR, ZERO, ZERO, ZERO),
        "transmission",
    ),
    "SLS": (
        "#    Energy_c1    FeKa_sum_cps_c3    I0_KEITHLEY1_c4    KEITHLEY1_GAIN_c5    "
        "D1_FeKa_corr_c12    D1_ICR_c24",
        (ENERGY / 1000, IFF, I0, 7 * ONE, IFF / 2, ONE),
        "fluorescence",
    ),
    "MRCAT": (MRCAT, (ENERGY, I0, IT, IR), "transmission"),
    "B18 of Diamond": (
        B18 + "# qexafs_energy\tI0\tIt\tIref\tlnI0It\tlnItIref",
        (ENERGY, I0, IT, IR, np.log(I0 / IT), np.log(IT / IR)),
        "transmission",
    ),
    "PETRA III": (f"!\n! Data\n%d\n{DOUBLE}", (ENERGY, I0, IT, IR), "transmission"),
    "a Russian spreadsheet": ("Энергия, эВ;I0;I1", (ENERGY, I0, IT), "transmission"),
    "units in a line": (
        "# energy i0 i1\n# keV counts counts",
        (ENERGY / 1000, I0, IT),
        "transmission",
    ),
    "BMM": (
        "# XDI/1.0 BlueSky\n# Element.symbol: Fe\n# Element.edge: K\n# ///\n#----\n"
        "# energy requested_energy xmu I0 Fe1 Fe2 Fe3 Fe4",
        (ENERGY, ENERGY, MU, I0, IFF / 4, IFF / 4, IFF / 4, IFF / 4),
        "both",
    ),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_a_beamlines_own_header_is_understood(name, tmp_path):
    head, columns, channel = DIALECTS[name]
    path = tmp_path / "scan.001"
    form = "%.6f, " if name == "CLS" else "%.6f "
    rows = "\n".join(
        "".join(form % v for v in row).strip(", ") for row in zip(*columns, strict=True)
    )
    path.write_text(f"{head}\n{rows}\n", encoding="utf-8")
    answers = infer_file(path, None if "Element" in head or "keV" not in head else "Fe")
    found = [report.channel for report, *_ in answers]
    assert found == (["transmission", "fluorescence"] if channel == "both" else [channel])
    for report, *_ in answers:
        assert report.refusal is None, report.refusal
        assert report.element == "Fe"
        assert report.estimate("oxidation_state").value == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize(
    ("head", "columns", "channels"),
    [
        ("E/keV i0 it", (ENERGY / 1000, I0, IT), ["transmission"]),
        ("Energy,keV;I0;It", (ENERGY / 1000, I0, IT), ["transmission"]),
        ("Energy_keV mu", (ENERGY / 1000, MU), ["transmission"]),
        ("energy mu", (ENERGY / 1000, MU), ["transmission"]),
        ("D = 3.1356 A\ntheta_deg i0 it", (ANGLE, I0, IT), ["transmission"]),
        ("Mono.name: Si 111\nbragg (rad) mu", (np.radians(ANGLE), MU), ["transmission"]),
        ("mono i0 it", (ENERGY, I0, IT), ["transmission"]),
        ("theta energy i0 it", (ANGLE, ENERGY, I0, IT), ["transmission"]),
        ("E0 = 7112\nenergy mu", (ENERGY - 7112.0, MU), ["transmission"]),
        ("energy i0_1 i1_1 i0_2 i1_2", (ENERGY, I0, I0, I0, IT), ["transmission"]),
        ("energy eh1_i0 eh1_i1 eh2_i0 eh2_i1", (ENERGY, I0, IT, I0, ZERO), ["transmission"]),
        ("energy ic0 ic1 ic2", (ENERGY, I0, IT, IR), ["transmission"]),
        ("energy monitor Itrans", (ENERGY, I0, IT), ["transmission"]),
        ("energy i0 it if1 if2 if3", (ENERGY, I0, IT, IFF / 3, IFF / 3, IFF / 3), ["both"]),
        ("energy i0 it iff", (ENERGY, I0, I0 * 0.7, IFF), ["fluorescence"]),
        ("energy i0 it iff", (ENERGY, I0, ZERO, IFF), ["fluorescence"]),
        ("energy i0 it iff", (ENERGY, I0, IT, ZERO), ["transmission"]),
        ("energy i0 it iff", (ENERGY, I0, IT, I0 * 0.01), ["transmission"]),
        (
            "energy i0 i1 DTC1 DTC2 ROI1 ROI2",
            (ENERGY, I0, I0, IFF, IFF, ONE, ONE),
            ["fluorescence"],
        ),
        ("energy I0 Ti_Ka Fe_Ka", (ENERGY, I0, ONE, IFF), ["fluorescence"]),
        ("energy mutrans mufluor", (ENERGY, MU, IFF / I0), ["both"]),
        ("energy i0 it xmu", (ENERGY, I0, IT, -MU), ["transmission"]),
    ],
)
def test_units_angles_chambers_and_detectors_are_told_by_their_names(
    head, columns, channels, tmp_path
):
    path = tmp_path / "scan.dat"
    np.savetxt(path, np.column_stack(columns), header=head)
    answers = infer_file(path, "Fe")
    both = ["transmission", "fluorescence"]
    assert [report.channel for report, *_ in answers] == (
        both if channels == ["both"] else channels
    )
    for report, *_ in answers:
        assert report.refusal is None, report.refusal
        assert report.estimate("oxidation_state").value == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize(
    ("head", "columns", "says"),
    [
        ("theta i0 it", (ANGLE, I0, IT), "states no d-spacing"),
        ("energy mu", (ENERGY, -MU), "its sign may be turned"),
        ("k chi", (np.linspace(0, 14, N), MU), r"chi\(k\)"),
        ("r chir_mag", (np.linspace(0, 10, N), MU), r"chi\(k\)"),
        ("energy i0 it iff", (ENERGY, I0, I0, I0), "not above the noise"),
        ("energy iff other", (ENERGY, IFF, ONE), "no i0 among energy, iff, other"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_reason(head, columns, says, tmp_path):
    path = tmp_path / "scan.dat"
    np.savetxt(path, np.column_stack(columns), header=head)
    reports = [report for report, *_ in infer_file(path, "Fe")]
    assert reports
    assert all(re.search(says, report.refusal.message) for report in reports)
