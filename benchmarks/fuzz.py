"""Damaged files: every reader takes a damaged file, or refuses it with an `InputError`; nothing else may happen.

    python benchmarks/fuzz.py --mutations 200 --seed 0
        # all readers, a line each; exit code 1 if there is a fault
    python benchmarks/fuzz.py --only star,cs --mutations 5000
    python benchmarks/fuzz.py --only star --case 123 --keep FOLDER
        # one case again, with the whole traceback and its files

The files are made here with the package's own writers, damaged at random (the same seed, reader and number of the case
give the same damage), and read in a process of its own, whose memory and CPU time are limited.
A fault is any exception but `InputError`, an `InputError` that comes only after memory had run out, a parser that does
not end, a process that dies, and a structure that is accepted but cannot be written and read back.
"""
import argparse, faulthandler, gzip, json, os, pickle, random, re, resource, shutil, signal, struct, sys, tempfile, time, traceback, warnings
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1") # a process with threads does not fork well
import numpy as np, torch

from cryosphere_nb.cli import read_config, two_body_stack
from cryosphere_nb.core import InputError
from cryosphere_nb.maps import Map, read_map, write_map
from cryosphere_nb.cryodrgn import load_numbers, read_cryodrgn
from cryosphere_nb.formats import read_particles
from cryosphere_nb.image import ImagingParameters
from cryosphere_nb.optics import Aberrations
from cryosphere_nb.particles import relion_tables, with_tables
from cryosphere_nb.relion import write_star
from cryosphere_nb.stacks import open_stack
from cryosphere_nb.structure import load_frames, load_structure, read_atoms, save_structure
from cryosphere_nb.synthetic import read_truth, write_simulation
from cryosphere_nb.train import Run, fit

# --- the valid files

PDB = """\
HEADER    A SMALL MODEL
CRYST1   40.000   40.000   40.000  90.00  90.00  90.00 P 1           1
ATOM      1  N   ALA A   1      -1.458   0.000   0.000  1.00 20.00           N
ATOM      2  CA  ALA A   1       0.000   0.000   0.000  1.00 20.00           C
ATOM      3  C   ALA A   1       0.551   1.420   0.000  1.00 20.00           C
ATOM      4  O   ALA A   1      -0.190   2.400   0.000  1.00 20.00           O
ATOM      5  N  ASER A   2       1.870   1.530   0.000  0.60 21.50           N
ATOM      6  CA ASER A   2       2.530   2.830   0.000  0.60 21.50           C
ATOM      7  CA BTHR A   2       2.550   2.850   0.100  0.40 21.50           C
ATOM      8  C   SER A   2       4.040   2.680   0.000  1.00 21.50           C
ATOM      9  CA  GLY A   2A      5.400   4.900   0.700  1.00 22.00           C
TER      10      GLY A   2A
ATOM     11  P    DA B   1      10.000   0.000   5.000  1.00 30.00      DNA  P
ATOM     12  C1'  DA B   1      10.500   3.800   5.200  1.00 30.00      DNA  C
ATOM     13  C1'  DT B   2      14.000   5.400   6.000  1.00 30.00      DNA  C
HETATM   14 ZN    ZN A 101       3.000   3.000   3.000  1.00 40.00          ZN2+
HETATM   15  O   HOH A 201       8.000   8.000   8.000  1.00 50.00           O
END
"""

OLD_STAR = """\

data_

loop_
_rlnImageName #1
_rlnMicrographName #2
_rlnAngleRot #3
_rlnAngleTilt #4
_rlnAnglePsi #5
_rlnOriginX #6
_rlnOriginY #7
_rlnDefocusU #8
_rlnDefocusV #9
_rlnDefocusAngle #10
_rlnVoltage #11
_rlnSphericalAberration #12
_rlnAmplitudeContrast #13
_rlnDetectorPixelSize #14
_rlnMagnification #15
000001@particles.mrcs 'mic 1.mrc' 10.0 20.0 30.0 0.5 -0.5 12000.0 11800.0 45.0 300.0 2.7 0.1 5.0 6250.0
000002@particles.mrcs "mic 1.mrc" 40.0 50.0 60.0 0.0 0.0 12000.0 11800.0 45.0 300.0 2.7 0.1 5.0 6250.0
"""

def make_cs(folder): # beside particles.star and its stack
    "The simulated particles as cryoSPARC has them, and the CTF in a passthrough file of double precision."
    p = read_particles(folder/"particles.star")
    n = len(p)
    main = np.zeros(n, [
        ("uid", "<u8"), ("blob/path", "S24"), ("blob/idx", "<u4"), ("blob/shape", "<u4", (2,)),
        ("blob/psize_A", "<f4"), ("blob/sign", "<f4"), ("alignments3D/pose", "<f4", (3,)),
        ("alignments3D/shift", "<f4", (2,)), ("alignments3D/psize_A", "<f4"), ("ctf/accel_kv", "<f4"),
        ("ctf/cs_mm", "<f4"), ("ctf/amp_contrast", "<f4"), ("ctf/df1_A", "<f4"), ("ctf/df2_A", "<f4"),
        ("ctf/df_angle_rad", "<f4"), ("ctf/phase_shift_rad", "<f4"), ("ctf/tilt_A", "<f4", (2,)),
        ("ctf/tetra_A", "<f4", (4,)), ("ctf/anisomag", "<f4", (4,))])
    (main["uid"], main["blob/path"], main["blob/idx"], main["blob/shape"], main["blob/psize_A"],
     main["blob/sign"]) = range(100, 100 + n), b">particles.mrcs", p.index, p.boxes[0], p.pixel_size, 1
    main["alignments3D/pose"], main["alignments3D/psize_A"] = np.linspace(-1, 1, 3*n).reshape(n, 3), p.pixel_size
    (main["ctf/accel_kv"], main["ctf/cs_mm"], main["ctf/amp_contrast"], main["ctf/df1_A"],
     main["ctf/df2_A"]) = 300, 2.7, 0.1, 12000, 11800
    main["ctf/tilt_A"], main["ctf/tetra_A"], main["ctf/anisomag"] = 2e4, 1e5, (0.01, 0.002, 0.002, -0.01)
    wide = np.zeros(n, [("uid", "<u8"), ("blob/import_sig", "<u8"), ("location/center_x_frac", "<f8"),
                        ("location/exp_group", "S9")]) # records of 33 bytes
    wide["uid"] = main["uid"][::-1]
    for name, array in ("particles.cs", main), ("passthrough.cs", wide):
        with open(folder/name, "wb") as f: np.save(f, array)

def make_cryodrgn(folder):
    p = read_particles(folder/"particles.star")
    n, c = len(p), p.ctf
    columns = (torch.full((n,), float(p.boxes[0])), p.pixel_size, c.defocus_u, c.defocus_v, c.defocus_angle.rad2deg(),
               c.voltage/1e3, c.spherical_aberration/1e7, c.amplitude_contrast, c.phase_shift)
    (folder/"ctf.pkl").write_bytes(pickle.dumps(torch.stack([v.double() for v in columns], 1).numpy()))
    (folder/"poses.pkl").write_bytes(pickle.dumps((p.R.numpy(), np.zeros((n, 2), np.float32)), protocol=2))

def make_all(folder):
    "A folder with one valid file of each kind, and a run on the smallest of stacks."
    stack = two_body_stack(24, 16, 8., snr=1.)
    write_simulation(folder, stack, progress=False)
    (folder/"old.star").write_text(OLD_STAR)
    p = read_particles(folder/"particles.star")
    faults = Aberrations(torch.full((1, 6), 2.), torch.full((1, 9), -1.), torch.tensor([[[1.01, .002], [.002, .99]]]))
    write_star(with_tables(replace(p, ctf=ImagingParameters(*p.ctf.tensors(), faults, applied=torch.arange(24) % 3))),
               folder/"optics.star")
    make_cs(folder)
    make_cryodrgn(folder)
    write_map(Map(torch.randn(12, 12, 12, generator=torch.Generator().manual_seed(0)), 1.5), folder/"map.mrc")
    (folder/"model.pdb").write_text(PDB)
    (folder/"model.pdb.gz").write_bytes(gzip.compress(PDB.encode(), mtime=0))
    small = load_structure(folder/"model.pdb")
    save_structure(small, folder/"small.cif")
    save_structure(small, folder/"small.cif.gz")
    save_structure(small, folder/"models.pdb", coords=torch.stack([small.xyz, small.xyz + 1.]))
    (folder/"settings.toml").write_text('n_segments = 3\nencoder = "mlp"\nepochs = 2\n'
                                        'parts = [{chain = "A", start = 1, stop = 20, n_segments = 2}]\n')
    fit(folder/"particles.star", folder/"model.cif", folder/"run", progress=False, check=False, contrast="light",
        encoder="table", epochs=1, batch_size=8, n_segments=2, n_latent=2, cpu=True)

# --- the damage

EXTREME = (
    "nan NaN inf -inf 1e400 -1e400 1e38 1e-320 0 -0 -1 1 9223372036854775807 9223372036854775808 18446744073709551616 "
    "2147483648 -2147483649 0x10 1_000 1,5 ١٢ ? . - * ' \" # ; @ loop_ data_ data_x stop_ _rlnImageName 0@x "
    "000000@particles.mrcs 99999999999@particles.mrcs ../../etc/passwd / ~ NULL None null true {} []").split()
NUMBERS = [0, 1, -1, 2, 3, 4, 6, 12, 101, 16, 1023, 1025, 2**15, 2**16, 2**24, 2**30, 2**31 - 1, -2**31, 10**9,
           16777216]

def extreme(r): # -> bytes
    "A field that nobody expects."
    kind = r.randrange(12)
    if kind == 0: return b""
    if kind == 1: return bytes(r.choices(range(32, 127), k=r.choice((50, 500, 5000))))
    if kind == 2: return bytes(r.choices(range(128, 256), k=r.randint(1, 6)))
    if kind == 3:
        return r.choice((b"\x00", b"\x1b[31m", b"\xef\xbb\xbf", b"\xff\xfe",
                         "é".encode(), "é".encode("latin1"), "\u2028".encode()))
    if kind == 4: return str(r.uniform(-1e6, 1e6)).encode()
    if kind == 5 and r.random() < 0.3:
        return r.choice((b"a", b"7", b"a ", b"'", b"(", b"_"))*r.choice((1000, 2_000_000))
    return r.choice(EXTREME).encode()

def damage_bytes(raw, r):
    "Bytes changed, put in, taken out, cut off, moved."
    raw, kind = bytearray(raw), r.randrange(9)
    at = lambda: r.randrange(max(len(raw), 1))
    if kind == 0 and raw: # bits
        for _ in range(r.choice((1, 1, 3, 20))): raw[at()] ^= 1 << r.randrange(8)
    elif kind == 1 and raw: raw[at()] = r.randrange(256)
    elif kind == 2:
        k = at()
        raw[k:k] = bytes(r.choices(range(256), k=r.choice((1, 2, 7, 300))))
    elif kind == 3:
        k = at()
        del raw[k:k + r.choice((1, 2, 8, 100, 1000))]
    elif kind == 4: del raw[at():]
    elif kind == 5:
        k, n = at(), r.choice((1, 8, 64))
        raw[k:k + n] = bytes(len(raw[k:k + n]))
    elif kind == 6:
        k, n, to = at(), r.choice((8, 80, 800)), at()
        raw[to:to] = raw[k:k + n]
    elif kind == 7:
        k, n, to = at(), r.choice((1, 4, 40)), at()
        raw[k:k + n], raw[to:to + n] = raw[to:to + n], raw[k:k + n]
    else: raw += bytes(r.choices(range(256), k=r.choice((1, 100, 4096))))
    return bytes(raw), f"bytes {kind}"

def damage_text(raw, r):
    "Lines and fields."
    kind = r.randrange(14)
    if kind < 3: return damage_bytes(raw, r)
    lines = raw.split(b"\n")
    at = lambda: r.randrange(len(lines))
    if kind == 3:
        i, j = at(), at()
        lines[i], lines[j] = lines[j], lines[i]
    elif kind == 4:
        i = at()
        lines[i:i] = lines[i:i + 1]*r.choice((1, 1, 5))
    elif kind == 5: del lines[at()]
    elif kind == 6:
        i = at()
        del lines[i:i + r.randint(1, 10)]
    elif kind == 7:
        i = at()
        lines[i] = lines[i][:r.randrange(len(lines[i]) + 1)]
    elif kind == 8: lines[at()] = extreme(r)
    elif kind == 9:
        return b"\n".join(lines).replace(b"\n", r.choice((b"\r\n", b"\r", b"\n\n", b" \n"))), "line ends"
    else: # a field
        fields = [m.span() for m in re.finditer(rb"\S+", raw)]
        if not fields: return extreme(r), "field"
        a, b = r.choice(fields)
        c, d = r.choice(fields)
        return raw[:a] + (raw[c:d] if kind == 10 else extreme(r)) + raw[b:], f"field {kind}"
    return b"\n".join(lines), f"lines {kind}"

def damage_pdb(raw, r):
    "Columns of PDB lines, too."
    if r.random() < 0.6: return damage_text(raw, r)
    lines = raw.split(b"\n")
    i = r.randrange(len(lines))
    line = lines[i].ljust(80)
    a, b = r.choice(((0, 6), (6, 11), (12, 16), (16, 17), (17, 20), (20, 22), (22, 26), (26, 27), (30, 38), (38, 46),
                     (46, 54), (54, 60), (60, 66), (72, 76), (76, 78), (78, 80)))
    new = extreme(r)
    lines[i] = line[:a] + (new[:b - a].rjust(b - a) if r.random() < 0.8 else new) + line[b:]
    return b"\n".join(lines), f"column {a + 1}"

def damage_mrc(raw, r):
    "Numbers of the header."
    if r.random() < 0.3: return damage_bytes(raw, r)
    raw = bytearray(raw)
    for _ in range(r.choice((1, 1, 1, 2, 4))):
        word = r.choice((0, 1, 2, 3, 3, 4, 7, 8, 9, 10, 11, 12, 16, 17, 18, 19, 22, 23, 23, 26, 49, 50, 52, 53,
                         r.randrange(256)))
        raw[4*word:4*word + 4] = (struct.pack("<f", float(extreme_number(r))) if r.random() < 0.3
                                  else struct.pack("<i", max(-2**31, min(2**31 - 1, r.choice(NUMBERS)))))
    if r.random() < 0.1: del raw[r.randrange(len(raw)):]
    return bytes(raw), "header"

def extreme_number(r):
    return r.choice((float("nan"), float("inf"), -float("inf"), 3e38, -1., 0., 1e-38, 1.5, 1e9))

def damage_npy(raw, r):
    "Text of the header, values, or another kind of file under this name."
    kind = r.randrange(10)
    if kind < 3: return damage_bytes(raw, r)
    end = raw.find(b"}") + 1
    if kind < 8 and end: # the header, its length corrected
        header = raw[raw.index(b"{"):end]
        tokens = [m.span() for m in re.finditer(rb"'[^']*'|\d+|True|False", header)]
        a, b = r.choice(tokens)
        new = r.choice((b"'<f8'", b"'|O'", b"'|V7'", b"'>f4'", b"'<U3'", b"'<c8'", b"'<M8[s]'", b"'|b1'", b"'<i8'",
                        b"1000000000", b"0", b"-1", b"99999999999999999999",
                        b"'<f4', (2000, 2000)", b"'blob/path'", b"'uid'", b"''", extreme(r)))
        header = header[:a] + new + header[b:] + b" "*(-(len(header) - b + a + len(new) + 11) % 64) + b"\n"
        return (b"\x93NUMPY\x01\x00" + struct.pack("<H", min(len(header), 65535)) + header
                + raw[end:].lstrip(b" ").removeprefix(b"\n"), "header")
    if kind == 8: # a value
        raw = bytearray(raw)
        k = r.randrange(end + 1, len(raw) - 4)
        raw[k:k + 4] = struct.pack("<f", extreme_number(r)) if r.random() < .5 else bytes(r.choices(range(256), k=4))
        return bytes(raw), "value"
    with tempfile.TemporaryFile() as f:
        np.savez(f, **{r.choice(("a", "particles", "../x")): r.choice((
            np.zeros(3), np.zeros(2, [("uid", "<u8")]), np.array(["x"])))})
        f.seek(0)
        return f.read(), "archive"

def damage_json(raw, r):
    "Names, values and types."
    if r.random() < 0.25: return damage_text(raw, r)
    try: tree = json.loads(raw)
    except ValueError: return damage_text(raw, r)
    for _ in range(r.choice((1, 1, 2))):
        here = [(tree, None)]
        places = []
        while here: # every (container, key) of the tree
            node, _k = here.pop()
            for k, v in (node.items() if isinstance(node, dict)
                         else enumerate(node) if isinstance(node, list) else ()):
                places.append((node, k))
                here.append((v, k))
        if not places: break
        node, k = r.choice(places)
        what = r.randrange(4)
        if what == 0: del node[k]
        elif what == 1 and isinstance(node, dict): node[extreme(r).decode("latin1")] = node.pop(k)
        else:
            node[k] = r.choice((
                None, True, False, 0, -1, 1, 2**63, 2**64, 10**400, 1e308, float("nan"), float("inf"), 0.5,
                "", "x", "../../../x", "/tmp/x", "none", "auto", "1", "é\u2028<script>", "x"*5000,
                [], {}, [[]], [None], {"a": 1}, [1, 2], [1e9]*3, ["x"]*3))
    return (json.dumps(tree) if r.random() < .9 else json.dumps([tree])).encode(), "json"

def damage_safetensors(raw, r):
    "The length, and the JSON that says where each tensor is."
    if r.random() < 0.3: return damage_bytes(raw, r)
    n, = struct.unpack("<Q", raw[:8])
    if r.random() < 0.15:
        return struct.pack("<Q", r.choice((0, 1, n - 1, n + 1, 2**31, 2**40, 2**63, 2**64 - 1))) + raw[8:], "length"
    header, data = raw[8:8 + n], raw[8 + n:]
    if r.random() < 0.2:
        return (struct.pack("<Q", n) + header
                + np.frombuffer(bytes(r.choices(range(256), k=len(data))), np.uint8).tobytes(), "values")
    if r.random() < 0.3: # a number, type or name of the header, by text
        a, b = r.choice([m.span() for m in re.finditer(rb"\d+|\"[^\"]*\"", header)])
        new = header[:a] + r.choice((
            b"0", b"-1", b"1", b"7", b"99999999999999999999", b'"F64"', b'"I64"', b'"BOOL"', b'"F16"', b'"x"',
            b"null", b'"' + str(r.choice(NUMBERS)).encode() + b'"')) + header[b:]
    else: new, _ = damage_json(header, r)
    return struct.pack("<Q", len(new)) + new + data, "header"

BOMB = gzip.compress(b" "*2**24, mtime=0)

def damage_gz(damage):
    "Damage inside or outside of the packing, and files that are small only as long as they are packed."
    def f(raw, r):
        if r.random() < 0.02: return raw + BOMB*200, "3.4 GB unpacked"
        if r.random() < 0.4: return damage_bytes(raw, r)
        new, kind = damage(gzip.decompress(raw), r)
        return gzip.compress(new, mtime=0), f"inside, {kind}"
    return f

# --- the readers: what is taken must be of use

def use_particles(p):
    for box in p.boxes: p.images(np.flatnonzero((p.box == box).numpy())[:4])
    relion_tables(p)
    repr(p)

def read_back_star(folder, name):
    p = read_particles(folder/name)
    use_particles(p)
    write_star(p, folder/"again.star")
    again = read_particles(folder/"again.star")
    assert len(again) == len(p) and torch.allclose(again.R, p.R, atol=1e-4), (
        "the star file that was written says something else")

def read_back_structure(folder, name, load=load_structure):
    s = load(folder/name)
    s = s[0] if isinstance(s, tuple) else s
    repr(s), s.labels, s.atom_electrons
    save_structure(s, folder/"again.cif")
    again = load_structure(folder/"again.cif")
    assert len(again.atoms) == len(s.atoms) and again.n_beads == s.n_beads, (
        f"{s.n_atoms} atoms and {s.n_beads} beads were accepted, {again.n_atoms} and {again.n_beads} come back")
    assert (again.atoms.chain.tolist() == s.atoms.chain.tolist()
            and again.atoms.residue_number.tolist() == s.atoms.residue_number.tolist()), (
        "chains or residues come back under other names")
    assert torch.allclose(again.xyz, s.xyz, atol=1e-2, rtol=1e-5), "atoms come back elsewhere"
    try: save_structure(s, folder/"again.pdb")
    except InputError: return # more than the columns hold
    assert len(read_atoms(folder/"again.pdb")) == s.n_atoms, "the PDB file that was written lacks atoms"

def read_run(folder, name):
    run = Run.load(folder/"run")
    repr(run)
    rows = [i for i in range(min(len(run), 3)) if not run.latents[i].isnan().any()]
    run.coordinates(rows)
    run.rows(rows)
    if rows: run.structure(rows[0])

@dataclass
class Reader:
    files:tuple # that are damaged, one in each case; in the folder of `make_all`
    beside:tuple # that are there, too
    damage:object # (bytes, random) -> bytes, what was done
    read:object # (folder, name of the damaged file)

RUN = "run/config.json", "run/nominal.cif", "run/last.safetensors", "run/latents.safetensors"
STACK = ("particles.mrcs",)
READERS = {
    "star": Reader(("particles.star", "old.star", "optics.star"), STACK, damage_text, read_back_star),
    "cs": Reader(("particles.cs",), STACK, damage_npy, lambda folder, name: use_particles(read_particles(folder/name))),
    "passthrough": Reader(
        ("passthrough.cs",), ("particles.cs", *STACK), damage_npy,
        lambda folder, name: use_particles(read_particles(folder/"particles.cs", passthrough=folder/name))),
    "mrcs": Reader(
        STACK, ("particles.star",), damage_mrc,
        lambda folder, name: (open_stack(folder/name),
                              use_particles(read_particles(folder/"particles.star", headers="warn")))),
    "cryodrgn": Reader(
        ("poses.pkl", "ctf.pkl"), ("poses.pkl", "ctf.pkl", *STACK), damage_bytes,
        lambda folder, name: (load_numbers(folder/name),
                              use_particles(read_cryodrgn(folder/"particles.mrcs", folder/"poses.pkl",
                                                          folder/"ctf.pkl")))),
    "map": Reader(("map.mrc",), (), damage_mrc, lambda folder, name: repr(read_map(folder/name))),
    "pdb": Reader(("model.pdb",), (), damage_pdb, read_back_structure),
    "pdb.gz": Reader(("model.pdb.gz",), (), damage_gz(damage_pdb), read_back_structure),
    "cif": Reader(("small.cif",), (), damage_text, read_back_structure),
    "cif.gz": Reader(("small.cif.gz",), (), damage_gz(damage_text), read_back_structure),
    "frames": Reader(("models.pdb",), (), damage_pdb,
                     lambda folder, name: read_back_structure(folder, name, load_frames)),
    "truth": Reader(
        ("particles_truth.npz", "particles_truth.csv"),
        ("particles.star", "particles_truth.npz", "particles_truth.csv"), damage_text,
        lambda folder, name: read_truth(folder/"particles.star")),
    "toml": Reader(("settings.toml",), (), damage_text, lambda folder, name: read_config(folder/name)),
    "config": Reader(("run/config.json",), RUN, damage_json, read_run),
    "safetensors": Reader(("run/last.safetensors", "run/latents.safetensors"), RUN, damage_safetensors, read_run),
    "nominal": Reader(("run/nominal.cif",), RUN, damage_text, read_run),
}

# --- one case after another

class Stuck(BaseException): "Not an Exception, so that no reader takes it for one of its own."

def stuck(*_): raise Stuck()

def prepare_case(reader, pristine, folder, r): # -> name of the damaged file, what was done
    "A folder with valid files, one of them damaged."
    shutil.rmtree(folder, ignore_errors=True)
    name = r.choice(reader.files)
    for file in {name, *reader.beside}:
        (folder/file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(pristine/file, folder/file)
    raw, kind = reader.damage((pristine/name).read_bytes(), r)
    (folder/name).write_bytes(raw)
    return name, kind

def out_of_memory(error):
    "Did memory run out on the way to this error?"
    while error is not None:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error): return True
        error = error.__cause__ or error.__context__
    return False

def one_case(name, pristine, folder, seed, case, seconds): # -> outcome, what was done, error
    "Read one damaged file."
    r = random.Random(f"{seed} {name} {case}")
    file, kind = prepare_case(READERS[name], pristine, folder, r)
    kind, error = f"{file}, {kind}", None
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            READERS[name].read(folder, file)
        outcome = "accepted"
    except InputError as e: outcome, error = ("fault" if out_of_memory(e) else "refused"), e
    except (Exception, Stuck) as e: outcome, error = "fault", e
    finally: signal.setitimer(signal.ITIMER_PROF, 0)
    return outcome, kind, error

def place_of(error): # file and line where it was raised, within the package if it came through there
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f"{os.sep}cryosphere_nb{os.sep}" in f.filename] or frames
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}"

def in_child(name, pristine, folder, args, cases, pipe):
    "Run cases one by one and write down how each ends; the parent sees if this process dies."
    used = (int(Path("/proc/self/statm").read_text().split()[0])*os.sysconf("SC_PAGE_SIZE")
            if Path("/proc/self/statm").exists() else 2**33)
    resource.setrlimit(resource.RLIMIT_AS, (used + args.memory_mb*2**20,)*2)
    signal.signal(signal.SIGPROF, stuck)
    with os.fdopen(pipe, "w") as f:
        for case in cases:
            print(json.dumps(["begin", case]), file=f, flush=True)
            outcome, kind, error = one_case(name, pristine, folder, args.seed, case, args.seconds)
            told = f"{type(error).__name__}: {str(error)[:200]!r} at {place_of(error)}" if outcome == "fault" else ""
            print(json.dumps([outcome, case, kind, told]), file=f, flush=True)

def run_reader(name, pristine, folder, args): # -> Counter
    "All cases of a reader. A process that dies is a fault, and the next goes on after it."
    counts, faults, cases = Counter(), Counter(), list(args.case if args.case is not None else range(args.mutations))
    while cases:
        read_end, write_end = os.pipe()
        if (pid := os.fork()) == 0:
            os.close(read_end)
            faulthandler.disable()
            try: in_child(name, pristine, folder, args, cases, write_end)
            finally: os._exit(0)
        os.close(write_end)
        begun = None
        with os.fdopen(read_end) as f:
            for line in f:
                outcome, case, *rest = json.loads(line)
                if outcome == "begin":
                    begun = case
                    continue
                counts[outcome] += 1
                cases.remove(case)
                begun = None
                if outcome == "fault": report(name, args.seed, case, *rest, faults)
        _, status = os.waitpid(pid, 0)
        if begun is not None:
            counts["fault"] += 1
            cases.remove(begun)
            report(name, args.seed, begun, "",
                   "the process died "
                   f"({signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else status})", faults)
        elif cases: raise SystemExit(f"{name}: the process ended before its cases")
    return counts

def report(name, seed, case, kind, told, seen):
    "A fault, so that it can be repeated; of the same place and kind no more than three."
    place = told.rsplit(" at ", 1)[-1] + told[:12]
    seen[place] += 1
    if seen[place] <= 3:
        print(f"  fault: --only {name} --seed {seed} --case {case} ({kind}): {told}", flush=True)
    elif seen[place] == 4:
        print(f"  fault: more like the last ones of {told.rsplit(' at ', 1)[-1]}", flush=True)

def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--mutations", type=int, default=200, help="damaged files for each reader (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the damage (default: 0)")
    parser.add_argument("--only", type=lambda t: t.split(","), default=list(READERS),
                        help=f"readers with commas between them: {','.join(READERS)}")
    parser.add_argument("--case", type=lambda t: [int(v) for v in t.split(",")],
                        help="these cases only, with their errors in full")
    parser.add_argument("--memory-mb", type=int, default=1024, help="that a reader may use (default: 1024)")
    parser.add_argument("--seconds", type=float, default=20,
                        help="of CPU time that a reader may use for a file (default: 20)")
    parser.add_argument("--keep", type=Path, help="folder for the files of the last case")
    args = parser.parse_args()
    if unknown := set(args.only) - set(READERS):
        parser.error(f"--only {','.join(unknown)}: expected some of {','.join(READERS)}")
    torch.set_num_threads(1)
    faults, started = 0, time.time()
    with tempfile.TemporaryDirectory() as tmp:
        pristine, folder = Path(tmp, "valid"), args.keep or Path(tmp, "case")
        pristine.mkdir()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            make_all(pristine)
        for name in args.only:
            files = READERS[name]
            for file in files.files: # what is not damaged must be read
                shutil.rmtree(folder, ignore_errors=True)
                for f in {file, *files.beside}:
                    (folder/f).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(pristine/f, folder/f)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    files.read(folder, file)
            if args.case is not None: # in this process, everything shown
                signal.signal(signal.SIGPROF, stuck)
                for case in args.case:
                    outcome, kind, error = one_case(name, pristine, folder, args.seed, case, args.seconds)
                    print(f"{name} {case}: {outcome} ({kind})")
                    faults += outcome == "fault"
                    if error is not None: traceback.print_exception(error)
                continue
            begun = time.time()
            n = run_reader(name, pristine, folder, args)
            faults += n["fault"]
            print(f"{name:12} {args.mutations:6} mutations: {n['accepted']:6} accepted, {n['refused']:6} refused, "
                  f"{n['fault']:6} faults   ({time.time() - begun:.0f} s)", flush=True)
    print(f"{'no' if not faults else faults} fault{'s' if faults != 1 else ''} in {time.time() - started:.0f} s")
    return int(faults > 0)

if __name__ == "__main__": sys.exit(main())
