"""Inputs from elsewhere that were read wrongly once, and what is right for each.

    python benchmarks/cases.py FOLDER

FOLDER holds a folder for each case, `01-pdb-two-letter-chains` and so on; what is right stands here as code. A line is
printed for each file: case, what happened, right or wrong; the exit code is 1 if one is wrong.
Stacks that a star file names and that are not in FOLDER are made, empty, in a copy: what is wrong with a star file has
to be said whether its images are there or not.
"""
import argparse, re, shutil, sys, tempfile, traceback, warnings
from dataclasses import dataclass, field
from pathlib import Path

import mrcfile, numpy as np

from cryosphere_nb.core import InputError
from cryosphere_nb.image import ctf_half_plane
from cryosphere_nb.formats import read_particles
from cryosphere_nb.relion import read_star_blocks, write_star
from cryosphere_nb.stacks import open_stack
from cryosphere_nb.structure import load_structure

@dataclass
class Outcome:
    "What a reader did."
    value:object = None # what it returned
    refusal:str = "" # text of the `InputError`
    fault:str = "" # any other exception
    warnings:list = field(default_factory=list)

    def says(self, *words): # in the refusal or in one warning
        return any(all(w.lower() in text.lower() for w in words) for text in [self.refusal, *self.warnings] if text)
    def __str__(self):
        text = (f"refused: {self.refusal}" if self.refusal
                else f"traceback: {self.fault}" if self.fault
                else "read: " + ", ".join(
                    f"{type(v).__name__} of {' x '.join(map(str, v.shape))}" if hasattr(v, "shape") else repr(v)
                    for v in (self.value if isinstance(self.value, tuple) else (self.value,))))
        return " ".join("; ".join([text, *(f"warning: {w}" for w in self.warnings)]).split())

def outcome(read, *args):
    "Read, and remember everything that was said."
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try: o = Outcome(read(*args))
        except InputError as e: o = Outcome(refusal=str(e))
        except Exception as e:
            o = Outcome(fault=f"{type(e).__name__}: {e} ({traceback.extract_tb(e.__traceback__)[-1].name})")
    o.warnings = list(dict.fromkeys(str(w.message) for w in said))
    return o

def chains(s): return {str(chain): len(rows) for chain, rows in s.residues.groupby("chain", sort=False)}

def largest_ctf(p): # of all images, on a grid up to Nyquist
    return max(float(ctf_half_plane(p.ctf[[i]], p.boxes[0], float(p.pixel_size[i])).abs().max()) for i in range(len(p)))

def read_images(path):
    p = read_particles(path)
    return p, p.images()

def crooked_line(path, labels=13): # the line of the data block with a value too many
    lines = path.read_text(errors="replace").splitlines()
    return next(k for k, line in enumerate(lines, 1) if len(line.split()) == labels + 1 and "@" in line)

def cs_as_star(path):
    "A star file from a cs file, and what RELION would read in it."
    write_star(read_particles(path), path.with_name("written.star"), overwrite=True)
    blocks, name = read_star_blocks(path.with_name("written.star"))
    return blocks["optics"], blocks[name]

OPTICS = ("rlnOpticsGroup rlnOpticsGroupName rlnVoltage rlnSphericalAberration rlnAmplitudeContrast "
          "rlnImagePixelSize rlnImageSize rlnImageDimensionality").split()

def cases(folder): # -> (case, file, outcome, right?) one after another
    "Every file of every case."
    at = lambda case: folder/case
    def structure(case, file, right):
        o = outcome(load_structure, at(case)/file)
        return case, file, o, right(o)
    def particles(case, file, right, read=read_particles):
        o = outcome(read, at(case)/file)
        return case, file, o, right(o)

    yield structure("01", "in.pdb", lambda o: o.value and chains(o.value) == {"AA": 20, "BA": 20, "CA": 20})
    yield structure("03", "two_objects.cif",
                    lambda o: o.says("objA", "objB") if o.refusal else o.value and o.value.n_beads == 40)
    yield structure("03", "model_and_ligand_restraints.cif",
                    lambda o: o.says("comp_LIG") if o.refusal else o.value and o.value.n_beads == 20)
    yield particles("04", "sta_testing_bin8.star",
                    lambda o: o.says("rlnCtfBfactor")
                              and (bool(o.refusal) or o.value and largest_ctf(o.value) <= 1.001))
    yield particles("05", "in.star",
                    lambda o: o.value
                              and all(o.says(name) for name in ("rlnMagMat", "rlnOddZernike", "rlnEvenZernike"))
                              and o.says("opticsGroup5")
                              or o.says("rlnOddZernike", "group"))
    yield particles("06", "particles.cs", lambda o: o.value and len(o.value) > 0)
    yield particles("07", "in.star", lambda o: not o.fault and o.says("rlnOpticsGroup", "1", "8"))
    yield particles("07", "defocus_twice.star", lambda o: not o.fault and o.says("rlnDefocusU", "8", "14"))
    for file in "tilt_stacks.star", "tilt_stacks_as_relion5.star", "subtomograms.star":
        yield particles("09", file, lambda o: bool(o.refusal) and o.says("tomogra"))
    yield particles("11", "defocus_in_um.star", lambda o: bool(o.refusal) and o.says("rlnDefocus", "Å", "µm"))
    yield particles("11", "voltage_in_V.star", lambda o: bool(o.refusal) and o.says("rlnVoltage", "300000", "kV"))
    right = mrcfile.read(at("12")/"right.mrcs")
    yield particles("12", "in.star",
                    lambda o: o.says("particles.mrcs")
                              and (bool(o.refusal) or np.array_equal(o.value[1].numpy(), right)),
                    read_images)
    clean = float(load_structure(at("14")/"clean.pdb").atom_electrons.sum())
    yield structure("14", "in.pdb",
                    lambda o: bool(o.refusal)
                              or o.value and float(o.value.atom_electrons.sum()) == clean and bool(o.warnings))
    yield structure("16", "in.pdb", lambda o: o.value and chains(o.value) == {"A": 20} and not o.says("without"))
    yield particles("17", "particles.cs",
                    lambda o: o.value and set(OPTICS) <= set(o.value[0])
                              and o.value[1]["rlnImageName"].str.endswith(".mrcs").all() and o.says(".mrcs", "link"),
                    cs_as_star)
    for file in "in.star", "particles.cs":
        yield particles("20", file, lambda o: o.value is not None or o.says("byte") or o.says("µ"))
    yield structure("21", "in.cif",
                    lambda o: o.value and o.value.n_beads == 129 or bool(o.refusal) and o.says("seq_id"))
    yield particles("22", "in.star", lambda o: bool(o.refusal) and o.says(f"line {crooked_line(at('22')/'in.star')}"))
    right_u8 = np.load(at("23")/"right.npy")
    yield particles("23", "u8.mrcs",
                    lambda o: o.value is not None and np.array_equal(o.value, right_u8),
                    lambda path: open_stack(path).read(np.arange(len(right_u8))))

def make_stacks(star):
    "Stacks that are missing: headers, and no disk space for their zeros."
    text = star.read_text(encoding="latin1")
    optics = re.search(r"data_optics\s+loop_\s+((?:_rln\S+.*\n)+)\s*(\S.*)", text)
    names = [line.split()[0] for line in optics[1].splitlines()] if optics else []
    size = int(optics[2].split()[names.index("_rlnImageSize")]) if "_rlnImageSize" in names else 48
    pairs = ([(int(i), name) for i, name in re.findall(r"(\d+)@(\S+\.mrcs?)", text)]
             + [(1, name) for name in re.findall(r"(?<=\s)(sub/p\d+\.mrc)(?=\s)", text)])
    for name in {name for _, name in pairs}:
        make_stack(star.parent/name, max(i for i, other in pairs if other == name), size)

def make_cs_stacks(cs):
    "The same for a cs file."
    data = np.load(cs, max_header_size=10**6)
    for name in np.unique(data["blob/path"]):
        rows = data[data["blob/path"] == name]
        name = name.decode("latin1") if isinstance(name, bytes) else str(name)
        make_stack(cs.parent/name.lstrip(">"), int(rows["blob/idx"].max()) + 1, int(rows["blob/shape"][0, 0]))

def make_stack(path, n, size):
    "n images of zeros, unless the file is there."
    if path.exists(): return
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path, np.zeros((1, size, size), np.float32)) as mrc:
        mrc.set_image_stack()
        mrc.header.nz = mrc.header.mz = n
        mrc.header.cella = 0
    with open(path, "r+b") as f: f.truncate(1024 + 4*n*size**2)

def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="with a folder for each case")
    parser.add_argument("--width", type=int, default=150, help="characters of what happened (default: 150)")
    args = parser.parse_args()
    wrong = n = 0
    with tempfile.TemporaryDirectory() as tmp:
        copy = Path(tmp)
        for case in args.folder.glob("[0-9][0-9]-*"):
            # a name must not answer for the reader
            shutil.copytree(case, copy/case.name[:2], copy_function=shutil.copyfile)
        for path in (copy, *copy.rglob("*")): path.chmod(0o755 if path.is_dir() else 0o644)
        for star in copy.rglob("*.star"): make_stacks(star)
        for cs in copy.rglob("*.cs"): make_cs_stacks(cs)
        for case, file, o, right in cases(copy):
            told = str(o).replace(f"{copy}/", "")
            print(f"{'right' if right else 'WRONG'}  {case} {file}: "
                  f"{told[:args.width]}{' …' if len(told) > args.width else ''}", flush=True)
            wrong += not right
            n += 1
    print(f"{n - wrong} of {n} right")
    return int(wrong > 0)

if __name__ == "__main__": sys.exit(main())
