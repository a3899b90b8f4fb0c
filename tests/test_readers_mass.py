import base64
import gzip
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import read_bytes
from scipy.signal import find_peaks

from symspectra.errors import ReadError

MGF = "\n".join(
    [
        *("# a comment", "COM=two ions", "BEGIN IONS", "TITLE=first, by the ion mode", "PEPMASS=181.07 1200.5"),
        *("CHARGE=1", "IONMODE=Positive", "SMILES=CCO", "INCHIAUX=N/A", "59.013 12.5", "101.02\t30", "END IONS", ""),
        *("BEGIN IONS", "TITLE=second, by the charge", "PEPMASS=179.0 12 1-", "71.1 5 1-", "89.2 0 1-", "END IONS", ""),
    ]
).encode()

MSP = b"""Name: Kojic acid
Synon: first name
Synon: second name
InChIKey: BEJNERDRQOWKJM-UHFFFAOYSA-N
Precursor_type: [M-H]-
Spectrum_type: MS2
PrecursorMZ: 141.0193
Instrument_type: LC-ESI-ITFT
Collision_energy: 60 % (nominal)
Num Peaks: 2
113.02 10
141.0194 999

NAME: ADP
PRECURSORMZ: 428.31
IONMODE: positive
NUM PEAKS: 3
135.0\t83.0\t"C5H5N5, 1; 2"
136.0\t999.0
137.0\t0

Name: Ethanol
Comments: "instrument type=EI-B" "ms level=MS1" "ionization mode=positive" "SMILES=CCO"
Num Peaks: 5
31 999; 45 500; 46 200;
27:220 29:300
"""


def cv(accession, value="", name="", unit=""):
    return f'<cvParam cvRef="MS" accession="MS:{accession}" name="{name}" value="{value}" unitName="{unit}"/>'


def packed(values, what, dtype="<f8", compress=True):
    raw = np.asarray(values, dtype).tobytes()
    text = base64.b64encode(zlib.compress(raw) if compress else raw).decode()
    number = {"<f4": 1000521, "<f8": 1000523, "<i4": 1000519}[dtype]
    terms = cv(number) + cv(1000574 if compress else 1000576) + cv(what)
    return f"<binaryDataArray>{terms}<binary>{text}</binary></binaryDataArray>"


def scan(mz, intensity, level=2, polarity=1000130, shape=1000127, more="", precursor=True, **how):
    terms = cv(1000511, level) + (cv(polarity) if polarity else "") + (cv(shape) if shape else "")
    ion = cv(1000744, "181.07") + cv(1000041, 1)
    before = f"<precursorList><precursor>{ion}{cv(1000045, '35.0', unit='electronvolt')}</precursor></precursorList>"
    arrays = packed(mz, 1000514, **how) + packed(intensity, 1000515, **how)
    return (
        f'<spectrum index="0" id="scan={level}" defaultArrayLength="{len(mz)}">{terms}{more}'
        f"{before if precursor else ''}<binaryDataArrayList>{arrays}</binaryDataArrayList></spectrum>"
    )


def mzml(*scans, groups="", source="1000073"):
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<indexedmzML xmlns="http://psi.hupo.org/ms/mzml"><mzML>'
        f"<referenceableParamGroupList>{groups}</referenceableParamGroupList><source>{cv(source)}</source>"
        f"<run><spectrumList>{''.join(scans)}</spectrumList></run></mzML></indexedmzML>"
    ).encode()


PROFILE = ([100.0, 100.1, 100.2, 100.3, 100.4, 100.5, 100.6], [0, 5, 50, 50, 1, 0.1, 0.2])
ONE = mzml(scan([50.0, 60.5], [3, 4]))
MZML = mzml(scan([50.0, 60.0], [1, 2], 1), scan([50.0, 60.5], [3, 4]), scan(*PROFILE, shape=1000128, polarity=1000129))


def test_mgf_is_read_with_what_it_says():
    first, second = read_bytes(MGF)
    assert (first.modality, second.modality) == ("msms_pos", "msms_neg")
    assert first.x.tolist() == [59.013, 101.02] and first.y.tolist() == [12.5, 30]
    assert (first.x_unit, first.y_unit, first.peaks, first.steps) == ("m/z", "intensity", True, ())
    assert first.meta == {
        **{"format": "MGF", "source": "a", "block": 1, "title": "first, by the ion mode"},
        **{"precursor_mz": 181.07, "ms_level": 2, "smiles": "CCO"},
    }
    assert second.x.tolist() == [71.1]
    # Parameters before the first entry hold for all.
    assert [s.modality for s in read_bytes(b"CHARGE=1+\n" + MGF)] == ["msms_pos", "msms_pos"]
    assert second.steps == ("peaks of zero intensity left out: 1",)


@pytest.mark.parametrize(
    "fields, modality, steps",
    [
        (["IONMODE=n"], "msms_neg", ()),
        (["ION_MODE=+"], "msms_pos", ()),
        (["ADDUCT=[M+2H]2+"], "msms_pos", ()),
        (["PRECURSORTYPE=[M-H]-", "CHARGE=1"], "msms_neg", ()),
        (["CHARGE=2+ and 3+"], "msms_pos", ()),
        (["CHARGE=-1"], "msms_neg", ()),
        (["IONIZATION=ESI-"], "msms_neg", ()),
        (["CHARGE=0+", "IONMODE=negative"], "msms_neg", ()),
        (["MSLEVEL=2", "IONMODE=positive"], "msms_pos", ()),
        (["CHARGE=1"], None, ("polarity not stated",)),
        (["IONMODE=n/a", "ADDUCT=M+H"], None, ("polarity not stated",)),
        (["IONMODE=n", "CHARGE=1+"], None, ("polarity contradictory: - by the ion mode, + by the charge",)),
        (["IONMODE=positive", "MSLEVEL=3"], None, ("MS level 3, not MS/MS",)),
        (["IONMODE=positive", "IONIZATION=EI"], "ei", ()),
        (["IONMODE=positive", "IONIZATIONENERGY=70 eV"], "ei", ()),
        (["IONMODE=negative", "IONIZATION=EI"], None, ("negative electron ionisation",)),
    ],
)
def test_the_modality_is_ms_ms_of_the_polarity_that_is_stated(fields, modality, steps):
    spectrum = read_bytes("\n".join(["BEGIN IONS", "PEPMASS=200", *fields, "50 1", "END IONS"]).encode())[0]
    assert (spectrum.modality, spectrum.steps) == (modality, steps)


def test_msp_is_read_in_its_styles():
    kojic, adp, ethanol = read_bytes(MSP)
    assert (kojic.modality, adp.modality, ethanol.modality) == ("msms_neg", "msms_pos", "ei")
    assert kojic.meta == {
        **{
            "format": "MSP",
            "source": "a",
            "block": 1,
            "title": "Kojic acid",
            "adduct": "[M-H]-",
            "precursor_mz": 141.0193,
        },
        **{"collision_energy": "60 % (nominal)", "inchikey": "BEJNERDRQOWKJM-UHFFFAOYSA-N", "ms_level": 2},
        "ionisation": "ESI",
    }
    assert adp.y.tolist() == [83, 999] and adp.meta["title"] == "ADP"
    assert adp.steps == ("peaks of zero intensity left out: 1",)
    assert ethanol.x.tolist() == [31, 45, 46, 27, 29] and ethanol.y.tolist() == [999, 500, 200, 220, 300]
    assert (ethanol.meta["ionisation"], ethanol.meta["ms_level"], ethanol.meta["smiles"]) == ("EI", 1, "CCO")


@pytest.mark.parametrize(
    "peaks", ["43 999; 58 35", "43\t999\n58\t35", "43:999 58:35", "(43, 999) (58, 35)", "43 999 58 35"]
)
def test_msp_peaks_may_be_separated_in_many_ways(peaks):
    spectrum = read_bytes(f"Name: x\nNum Peaks: 2\n{peaks}\n".encode())[0]
    assert spectrum.x.tolist() == [43, 58] and spectrum.y.tolist() == [999, 35]
    assert spectrum.steps == ("MS level not stated", "polarity not stated")


def test_msp_lines_that_are_not_understood_are_said():
    (spectrum,) = read_bytes(b"* a remark\n\nName: x\nwrapped name\nNum Peaks: 1\n43 999\n")
    assert "lines not understood and left out: 2, first '* a remark'" in spectrum.steps


PEAKS = st.lists(st.tuples(st.floats(0, 2000), st.floats(1e-3, 1e9)), min_size=1, max_size=8)


@given(st.lists(PEAKS, min_size=1, max_size=4))
@settings(max_examples=40)
def test_written_peaks_are_read_back(library):
    msp = "\n\n".join(
        f"Name: {i}\nNum Peaks: {len(peaks)}\n" + "\n".join(f"{mz!r} {y!r}" for mz, y in peaks)
        for i, peaks in enumerate(library)
    )
    mgf = "\n".join("BEGIN IONS\n" + "\n".join(f"{mz!r}\t{y!r}" for mz, y in peaks) + "\nEND IONS" for peaks in library)
    xml = mzml(*(scan(*zip(*peaks, strict=True)) for peaks in library))
    for spectra in (read_bytes(msp.encode()), read_bytes(mgf.encode()), read_bytes(xml)):
        assert [list(zip(s.x, s.y, strict=True)) for s in spectra] == library
        assert [s.meta["block"] for s in spectra] == list(range(1, len(library) + 1))


def test_mzml_leaves_out_ms1_and_picks_profiles():
    peaks, profile = read_bytes(MZML)
    assert (peaks.modality, profile.modality) == ("msms_pos", "msms_neg")
    assert peaks.steps == ("left out spectrum 1: MS1, beside MS/MS scans",)
    assert read_bytes(MZML, block=1)[0].meta["ms_level"] == 1
    assert peaks.x.tolist() == [50.0, 60.5] and peaks.y.tolist() == [3, 4]
    assert peaks.meta == {
        **{"format": "mzML", "source": "a", "block": 2, "title": "scan=2", "precursor_mz": 181.07, "ms_level": 2},
        **{"collision_energy": "35.0 eV", "ionisation": "ESI"},
    }
    assert profile.x.tolist() == [100.2] and profile.peaks
    assert profile.steps[0] == "peaks picked from a profile of 7 points: 1, local maxima above 0.5% of the base peak"


def test_mzml_of_ms1_only_and_of_no_statement_have_no_modality():
    (spectrum,) = read_bytes(mzml(scan([50.0], [1], 1, precursor=False)))
    assert spectrum.modality is None and spectrum.meta["ms_level"] == 1
    (spectrum,) = read_bytes(mzml(scan([50.0], [3], polarity=None, shape=None)))
    assert spectrum.modality is None
    assert spectrum.steps == ("neither centroid nor profile stated; read as centroids", "polarity not stated")
    assert read_bytes(mzml(scan([50.0], [3]), source="1000389"))[0].modality == "ei"


@given(st.lists(st.integers(0, 300), min_size=3, max_size=30).filter(any))
@settings(max_examples=60)
def test_profiles_are_picked_as_scipy_finds_peaks(intensity):
    (spectrum,) = read_bytes(mzml(scan(range(1, len(intensity) + 1), intensity, shape=1000128)))
    expected = find_peaks([0, *intensity, 0], height=np.nextafter(0.005 * max(intensity), np.inf))[0]
    assert spectrum.x.tolist() == expected.tolist()


@pytest.mark.parametrize("dtype", ["<f4", "<f8", "<i4"])
@pytest.mark.parametrize("compress", [True, False])
def test_mzml_number_types(dtype, compress):
    (spectrum,) = read_bytes(mzml(scan([50, 60], [3, 4], dtype=dtype, compress=compress)))
    assert spectrum.x.tolist() == [50, 60] and spectrum.y.tolist() == [3, 4]


def test_mzml_terms_may_stand_in_groups():
    group = f'<referenceableParamGroup id="g">{cv(1000129)}{cv(1000127)}</referenceableParamGroup>'
    one = scan([50.0], [3], polarity=None, shape=None, more='<referenceableParamGroupRef ref="g"/>')
    (spectrum,) = read_bytes(mzml(one, groups=group))
    assert spectrum.modality == "msms_neg" and spectrum.steps == ()


def test_what_is_packed_by_gzip_is_read_unless_it_is_damaged_or_a_bomb(monkeypatch):
    assert [s.steps for s in read_bytes(gzip.compress(MZML))] == [s.steps for s in read_bytes(MZML)]
    with pytest.raises(ReadError, match="damaged gzip"):
        read_bytes(gzip.compress(MZML)[:-20])
    monkeypatch.setattr("symspectra.spectra.readers.signatures.LIMIT_BYTES", 1_000_000)
    with pytest.raises(ReadError, match="unpacks to more than 1 MB"):
        read_bytes(gzip.compress(b" " * 1_000_001))


def test_spectra_without_peaks_or_with_a_bad_one_are_left_out_and_said():
    empty = b"BEGIN IONS\nTITLE=blank\nEND IONS\n"
    first, second = read_bytes(empty + MGF + empty + MGF.replace(b"30", b"x").split(b"\n\n")[0])
    assert (first.meta["block"], second.meta["block"]) == (2, 3)
    assert first.steps[0] == "left out spectrum 1, 4: has no peaks" and "left out spectrum 5: line" in first.steps[1]
    assert first.steps == second.steps[-2:]
    for data in (empty, empty * 2, b"BEGIN IONS\n50 0\nEND IONS"):
        with pytest.raises(ReadError, match="no peaks"):
            read_bytes(data)


@pytest.mark.parametrize("data, count", [(MGF, 2), (MSP, 3), (MZML, 3)])
def test_a_block_is_one_spectrum(data, count):
    for block in range(1, count + 1):
        assert [s.meta["block"] for s in read_bytes(data, block=block)] == [block]
    for block in (0, count + 1):
        with pytest.raises(ReadError, match=f"no spectrum {block}; there are 1, 2"):
            read_bytes(data, block=block)


@pytest.mark.parametrize(
    "data, message",
    [
        (MGF[:-10], "spectrum 2 is cut off"),
        (b"BEGIN IONS\nBEGIN IONS\n", "line 2 is BEGIN IONS; expected END IONS of spectrum 1"),
        (b"BEGIN IONS\nTITLE=a\n50 1\n60 -1\nEND IONS", "peak 2 has intensity -1"),
        (b"BEGIN IONS\n5 nan\nEND IONS", "peak 1 has intensity nan"),
        (b"BEGIN IONS\n5\nEND IONS", "line 2 reads '5'; expected m/z and intensity"),
        (b"BEGIN IONS\n1_0 5\nEND IONS", "line 2 reads '1_0 5'"),
        (b"Name: x\nNum Peaks: 3\n1 2\n3 4\n", "lists 2 peaks; expected '3'"),
        (b"Name: x\nNum Peaks: 2\n1,5 2\n3 4\n", "comma inside a number"),
        (b"Name: x\nNum Peaks: 1\n1 2 3\n", "line 3 reads '1 2 3'"),
        (b"<mzXML></mzXML>", "is mzXML; convert it to mzML"),
        (MZML[:-30], "not well-formed XML"),
        (b"<mzML>" + b"<a>" * 2000, "too many for its size"),
        (mzml(scan([1.0, 2.0], [3])), "the intensity array has 1 values; expected '2'"),
        (mzml(scan([np.inf], [1.0])), "peak 1 has m/z inf"),
        (ONE.replace(b"MS:1000574", b"MS:1").replace(b'name=""', b'name="Numpress compression"'), "zlib"),
        (ONE.replace(b"MS:1000523", b"MS:1"), "0 number types"),
        (ONE.replace(b"<binary>", b"<binary>!"), "damaged"),
        (mzml(scan([1.0] * 3_000_000, [1.0] * 3_000_000)), "unpacks to more than the file's size"),
        (MGF[20:], "outside of BEGIN IONS"),
        (b"END IONS\nBEGIN IONS\n", "line 1 is END IONS without"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(data, message):
    with pytest.raises(ReadError, match=message):
        read_bytes(data)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig"])
@pytest.mark.parametrize("declaration", ['<!DOCTYPE mzML [<!ENTITY a "b">]>', '<!doctype mzML SYSTEM "file:///etc/x">'])
def test_entities_are_never_declared(declaration, encoding):
    data = f"<?xml version='1.0' encoding='{encoding[:6].rstrip('-')}'?>{declaration}<mzML>&a;</mzML>".encode(encoding)
    with pytest.raises(ReadError, match="DOCTYPE"):
        read_bytes(data)


@pytest.mark.parametrize("fields, above", [([], 423.6), (["CHARGE=1+"], 423.6), (["CHARGE=5+"], None)])
def test_strong_peaks_above_the_precursor_are_told(fields, above):
    lines = ["BEGIN IONS", "PEPMASS=100.0", *fields, "50 40", "103 30", "423.6 100", "782.3 1", "END IONS"]
    spectrum = read_bytes("\n".join(lines).encode())[0]
    assert spectrum.meta.get("above_precursor") == above
    assert any("423.6" in step for step in spectrum.steps) == bool(above)
