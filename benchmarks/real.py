"""Small stacks of real particles: are poses, CTF and order of the rows read right, and is anything lost?

    python benchmarks/real.py FOLDER                                  # every star and cs file there
    python benchmarks/real.py FOLDER --only sample_particles_relion31.star --permutations 3 --out try.json

The images need not be there: stacks that are missing are replaced by empty ones in a temporary folder, and then only
reading and writing are looked at. Nothing of FOLDER is copied into the results but the names of the files. A row of
results/real.json for each file:

files    read with which warnings; written again, is every word (star) or byte (cs) the same; written as a star file of
         every version, are poses and CTF the same; which columns change nothing when they are changed or left out, so
         have no meaning here
match    correlation of each image with the map of all others, seen from its pose (`left_out_match`): as given, with
         poses transposed, origins negated or ignored, the CTF ignored, and with poses of other images
bands    the same, given and permuted, for other ranges of resolution
ctf      correlation of the log power of the images with CTF^2, over rings, both without their slow part: as given, and
         the factor of the defocus at which it is largest; for all images and for each optics group
         and voltage
"""
import argparse, shutil, tempfile, warnings
from dataclasses import replace
from pathlib import Path

import numpy as np, pandas as pd, torch

from recovery import facts, plain
from cryosphere_nb.core import InputError, fft2c, frequency_radius, generator, read_json, write_json
from cryosphere_nb.cryosparc import load_cs
from cryosphere_nb.formats import read_particles, write_particle_file
from cryosphere_nb.image import ctf_half_plane
from cryosphere_nb.maps import left_out_match, particle_halves
from cryosphere_nb.relion import STAR_VERSIONS, star_blocks, write_star
from cryosphere_nb.star import write_star_text
from cryosphere_nb.stacks import split_image_names

RESULTS = Path(__file__).parent/"results"
BANDS = (100., 12.), (250., 12.), (100., 20.), (60., 12.) # Å, coarsest and finest; the first is the rule
FIELD = 280. # Å; of images that show a wider field, molecules are larger and the bands coarser in proportion
FACTORS = np.round(np.arange(0.5, 1.501, 0.02), 2) # of the defocus

# ---- files

def named_stacks(path): # star or cs -> file, images, box, pixel size of each stack that it names
    "What the stacks have to be, by what the particle file says."
    if path.suffix == ".cs":
        data = load_cs(path)
        t = pd.DataFrame(dict(name=[n.decode().lstrip(">") for n in data["blob/path"].tolist()], index=data["blob/idx"],
                              box=data["blob/shape"][:, 0], pixel=data["blob/psize_A"]))
    else:
        blocks, block = star_blocks(path)
        names, index = split_image_names(block.table["rlnImageName"].to_numpy(), path)
        optics = next((b.table for b in blocks if b.name == "optics"), pd.DataFrame())
        said = (block.table.merge(optics, on="rlnOpticsGroup", how="left") if len(optics) else block.table)
        column = lambda *of: next((said[c].to_numpy(float) for c in of if c in said), np.full(len(said), np.nan))
        t = pd.DataFrame(dict(name=names, index=index, box=column("rlnImageSize"), pixel=column("rlnImagePixelSize")))
    return t.groupby("name").agg(n=("index", lambda v: max(int(v.max()), 0) + 1), box=("box", "first"),
                                 pixel=("pixel", "first"))

def empty_stack(path, n, box, pixel):
    "A stack of zeros that takes no room on the disk."
    header = np.zeros(256, "<i4")
    header[:4], header[7:10], header[16:19] = (box, box, n, 2), (box, box, n), (1, 2, 3)
    header[10:13] = np.array([box*pixel, box*pixel, n*pixel], "<f4").view("<i4")
    raw = bytearray(header.tobytes())
    raw[208:216] = b"MAP \x44\x44\0\0"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as f:
        f.write(raw)
        f.truncate(1024 + 4*n*box**2)

def staged(path, folder): # star or cs file, empty folder -> the file there, are all images?
    "The file with its stacks, those that are missing as empty ones."
    shutil.copy(path, folder/path.name)
    whole = True
    for name, s in named_stacks(path).iterrows():
        target = folder/name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (path.parent/name).is_file(): target.symlink_to((path.parent/name).resolve())
        else:
            whole = False
            empty_stack(target, int(s.n), int(s.box), s.pixel)
        if target.suffix == ".mrc": target.with_suffix(".mrcs").symlink_to(target.name) # as RELION wants it
    return folder/path.name, whole

def heard(action, hide): # function; words that name this machine -> its value, what it warned of
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        value = action()
    return value, [str(w.message).replace(f"{hide}/", "") for w in said]

def says(p): # Particles -> everything that is computed with
    return ([p.R, p.shift, p.pixel_size, p.sign, *p.ctf.tensors(), particle_halves(p), torch.as_tensor(p.index)]
            + [torch.tensor([hash((s.path, g)) for s, g in zip((p.stacks[f] for f in p.file), p.group_names)])])

def differs(a, b): # of `says`
    return len(a) != len(b) or any(u.shape != v.shape or not torch.equal(u, v) for u, v in zip(a, b))

def without_meaning(path): # staged file -> names
    "Columns that may be changed or left out and nothing changes."
    read = lambda file: says(read_particles(file, project_dir=path.parent, need_poses=False))
    given, other = read(path), path.with_name(f"other{path.suffix}")
    def same(write):
        write()
        try: return not differs(given, read(other))
        except InputError: return False
    warnings.simplefilter("ignore")
    unused = []
    if path.suffix == ".cs":
        data = np.load(path)
        def write(fields):
            new = np.empty(len(data), [(k, v.dtype, v.shape[1:]) for k, v in fields.items()])
            for k, v in fields.items(): new[k] = v
            with open(other, "wb") as f: np.save(f, new)
        fields = {name: data[name] for name in data.dtype.names}
        for name, v in fields.items():
            changed = [{k: w for k, w in fields.items() if k != name}]
            if v.dtype.kind in "iuf": changed.append(fields | {name: (v + (v.dtype.type(1) if v.dtype.kind != "f" else
                                                                          v*v.dtype.type(.02) + v.dtype.type(.3)))})
            if all(same(lambda: write(c)) for c in changed): unused.append(name)
        return unused
    blocks, _ = star_blocks(path)
    for b in blocks:
        for name in b.table:
            tables = [b.table.drop(columns=name)]
            if b.table[name].dtype.kind in "iuf": tables.append(b.table.assign(**{name: b.table[name]*1.02 + 0.3}))
            changed = [[replace(c, table=t, written={k: w for k, w in c.written.items() if k != name}) if c is b else c
                        for c in blocks] for t in tables]
            if all(same(lambda: write_star_text(other, new)) for new in changed): unused.append(name)
    return unused

def files_row(path, p, whole, said): # staged file, particles
    "Is anything lost?"
    words = lambda f: [line.split("#")[0].split() for line in f.read_text().splitlines()
                       if line.split("#")[0].strip()]
    again, read = path.with_name(f"again{path.suffix}"), lambda f: read_particles(f, project_dir=path.parent,
                                                                                  need_poses=False)
    heard(lambda: write_particle_file(p, again), path.parent)
    if path.suffix == ".star": same = words(path) == words(again)
    else: same = (u := load_cs(path)).dtype == (v := load_cs(again)).dtype and u.tobytes() == v.tobytes()
    forms, posed = {}, "rlnAngleRot" in p.table or "alignments3D/pose_0" in p.table
    for version in STAR_VERSIONS:
        form = path.with_name(f"form{version}.star")
        (_, lost), q = heard(lambda: write_star(p, form, version=version), path.parent), None
        q, _ = heard(lambda: read(form), path.parent)
        gap = lambda u, v: float((u.double() - v.double()).abs().max()) if u.numel() else 0.
        forms[version] = dict(R=gap(p.R, q.R), shift=gap(p.shift, q.shift),
                              defocus=gap(p.ctf.defocus_u, q.ctf.defocus_u), halves=bool(
                                  torch.equal(particle_halves(p), particle_halves(q))), warnings=lost)
    ab = getattr(p.ctf, "aberrations", None)
    return dict(particles=len(p), images=len(p.image_id.unique()), images_here=whole, poses=posed, boxes=p.boxes,
                pixel_a=sorted({round(v, 4) for v in p.pixel_size.tolist()}),
                groups=len(np.unique(p.group_names)), aberrations=bool(ab), warnings=said, written_same=bool(same),
                forms=forms, columns=len(p.fields) or sum(len(t.columns) for t in (p.table, p.optics) if t is not None),
                without_meaning=without_meaning(path))

# ---- poses, order

def without_ctf(p):
    "The same particles, as if no microscope had touched them."
    zero = torch.zeros_like(p.ctf.defocus_u)
    return replace(p, ctf=replace(p.ctf, defocus_u=zero, defocus_v=zero, spherical_aberration=zero, phase_shift=zero,
                                  amplitude_contrast=torch.ones_like(zero)))

def match_row(p, permutations):
    "The table of the correlations."
    n, orders = len(p), [torch.randperm(len(p), generator=generator(k)) for k in range(permutations)]
    wide = max(1., float((p.box*p.pixel_size).median())/FIELD)
    def each(q, band=BANDS[0]): return left_out_match(q, band[0]*wide, band[1]*wide)
    mean = lambda q, **band: float(each(q, **band).mean())
    spread = lambda values: dict(mean=float(np.mean(values)), sd=float(np.std(values, ddof=1)), n=len(values))
    others = lambda orders, **band: spread([mean(replace(p, R=p.R[q], shift=p.shift[q]), **band) for q in orders])
    transposed, given = replace(p, R=p.R.mT), each(p)
    row = dict(coarsest_a=BANDS[0][0]*wide, finest_a=BANDS[0][1]*wide, given=float(given.mean()),
               error=float(given.std()/n**.5), each=given.tolist(), transposed=mean(transposed),
               origins_negated=mean(replace(p, shift=-p.shift)), origins_ignored=mean(replace(p, shift=0*p.shift)),
               ctf_ignored=mean(without_ctf(p)), permuted=others(orders))
    return row, [dict(coarsest_a=b[0]*wide, finest_a=b[1]*wide, given=mean(p, band=b),
                      transposed=mean(transposed, band=b), permuted=others(orders[:3], band=b)) for b in BANDS[1:]]

# ---- CTF

def rings(F, D): # (..., D, D//2+1) -> (..., D//2) means over rings
    ring = (frequency_radius(D)*D).round().long().flatten()
    sums = torch.zeros(*F.shape[:-2], D, dtype=F.dtype).index_add_(-1, ring.clamp(max=D - 1), F.flatten(-2))
    return (sums/torch.bincount(ring.clamp(max=D - 1), minlength=D).clamp(min=1))[..., :D//2]

def ctf_match(p, ctf, low=30., high=6.): # one box and pixel size
    "Correlation over rings of log power and CTF^2, each without a cubic in frequency."
    D, a = p.boxes[0], float(p.pixel_size[0])
    k = torch.arange(D//2)/(D*a)
    own = ((k >= 1/low) & (k < min(1/high, 0.45/a))).numpy()
    power = rings(fft2c(p.images()).abs().square(), D).mean(0).log().numpy()[own]
    squares = rings(ctf_half_plane(ctf, D, a).square(), D).mean(0).numpy()[own]
    x = np.linspace(-1, 1, own.sum())
    rest = lambda y: y - np.polyval(np.polyfit(x, y, 3), x)
    return float(np.corrcoef(rest(power), rest(squares))[0, 1])

def ctf_row(p):
    "As given, with other defoci; and is there a better factor?"
    scaled = lambda q, f: replace(q.ctf, defocus_u=q.ctf.defocus_u*f, defocus_v=q.ctf.defocus_v*f)
    rows, kind = {}, np.array([f"{name}, {kv/1e3:g} kV" for name, kv in zip(p.group_names, p.ctf.voltage.tolist())])
    for name in ["all", *np.unique(kind)] if len(np.unique(kind)) > 1 else ["all"]:
        q = p if name == "all" else p.select(kind == name)
        curve = np.array([ctf_match(q, scaled(q, f)) for f in FACTORS])
        c = q.ctf
        rows[str(name)] = dict(images=len(q), kv=float(c.voltage.median())/1e3, defocus_a=[float(c.defocus_u.min()),
                                                                                      float(c.defocus_u.max())],
                               given=ctf_match(q, c), best_factor=float(FACTORS[curve.argmax()]),
                               best=float(curve.max()))
    return rows

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder", type=Path, help="with star and cs files, and the stacks that they name")
    p.add_argument("--only", nargs="+", help="names of files")
    p.add_argument("--permutations", type=int, default=10, help="orders that are tried (10)")
    p.add_argument("--threads", type=int, default=1, help="threads (1)")
    p.add_argument("--out", type=Path, default=RESULTS/"real.json", help="file of results (results/real.json)")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    paths = sorted(f for f in a.folder.iterdir() if f.suffix in (".star", ".cs") and (not a.only or f.name in a.only))
    if not paths: p.error(f"no star or cs file in {a.folder.name}")
    for path in paths:
        with tempfile.TemporaryDirectory() as folder:
            file, whole = staged(path, Path(folder))
            particles, said = heard(lambda: read_particles(file, project_dir=folder, need_poses=False), folder)
            row = dict(file=path.name, files=files_row(file, particles, whole, said))
            if whole and row["files"]["poses"] and len(particles) > 2:
                row["match"], row["bands"] = match_row(particles, a.permutations)
            if whole: row["ctf"] = ctf_row(particles)
        for k in ("files", "match", "bands", "ctf"):
            if k in row: print(path.name, k, row[k], flush=True)
        # what was measured before stays
        old = [r for r in (read_json(a.out)["rows"] if a.out.is_file() else []) if r["file"] != path.name]
        write_json(a.out, plain(dict(rows=sorted(old + [row | facts()], key=lambda r: r["file"]))))

if __name__ == "__main__": main()
