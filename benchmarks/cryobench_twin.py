"""Twins of CryoBench's antibody sets, IgG-1D and IgG-RL: made to its recipe from PDB entry 1HZH, trained on, scored.

    python benchmarks/cryobench_twin.py make IgG-1D 1hzh.pdb twins/igg_1d               # 100 x 1000 images, 6.6 GB
    python benchmarks/cryobench_twin.py make IgG-RL 1hzh.pdb twins/igg_rl --each 100    # 10 000 images
    python benchmarks/cryobench_twin.py check IgG-1D 1hzh.pdb                          # short cuts against the long way
    python benchmarks/cryobench_twin.py plan twins/igg_1d                               # how long a run will take
    python benchmarks/cryobench_twin.py fit twins/igg_1d --keep runs                    # a run of `fit`, and its score

They are twins and not the published files: same molecule, same recipe, other random numbers, and a hinge and a defocus
of our own choice where the recipe leaves them open. Published files are read by `read_cryobench` as these folders are.

The recipe, as CryoBench's programs have it: 100 conformations, 1000 images each; all atoms at 3 A (sigma 0.7 A); views
uniform over all rotations; shifts uniform within 20 of 256 pixels of 1.5 A; the CTF of a 300 kV microscope with an
envelope of 100 A^2; white noise of 100 times the variance of the images, over all pixels; dark on light; at last a
Fourier crop to 128 pixels of 3 A. The crop takes three quarters of the noise and next to nothing of the molecule, so
SNR 0.01 is near 0.04 in the files (`check` says how near).

IgG-1D: one Fab turned by 3.6 degrees a step about a bond of its hinge, the one that leaves it most room in all places.
IgG-RL: backbone torsions of the hinge's five residues between two disulphides drawn as in disordered chains, kept if
nothing clashes.

`make` can be stopped and started: a stack of a conformation appears under its name when it is whole, every conformation
has random numbers of its own, and what is there is not made again. The first `--each` of 1000 images are the same
whatever the number."""
import argparse, contextlib, functools, math, pickle, tempfile, time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np, pandas as pd, torch
from scipy.spatial import cKDTree

from recovery import facts, plain, run_options, store

from cryosphere_nb.benchmarks import train_fully
from cryosphere_nb.core import fft2c, fourier_crop, generator, ifft2c, read_json, write_atomic, write_json
from cryosphere_nb.cryobench import read_cryobench, score_cryobench
from cryosphere_nb.geometry import rmsd, roma, rotate, superpose
from cryosphere_nb.image import oversampling, render
from cryosphere_nb.maps import structure_map, write_map
from cryosphere_nb.metrics import circular_correlation
from cryosphere_nb.particles import with_tables
from cryosphere_nb.plan import plan
from cryosphere_nb.posterior import PosteriorSettings
from cryosphere_nb.relion import write_star
from cryosphere_nb.stacks import write_stack
from cryosphere_nb.structure import Structure, load_structure, save_structure
from cryosphere_nb.synthetic import Optics, Simulation, degrade_model, scatterers, simulate

SETS = {"IgG-1D": "circle", "IgG-RL": "classes"} # and how their conformations lie to each other
N, EACH, SNR = 100, 1000, 0.01 # conformations; images of each; of the large images
LARGE, SMALL = (256, 1.5), (128, 3.) # pixels, and their size in A
OPTICS = Optics(defocus_a=(5_000., 25_000.), astigmatism_a=(0., 500.), b_factor_a2=100.)
MAX_SHIFT = 20*LARGE[1] # A
HEAVY, LIGHT, FIRST, LAST = "H", "L", 232, 238 # of the Fab that moves: chains, hinge between disulphides 230 and 239
NEAR = 2.5 # heavy atoms of parts that are not neighbours in the chain clash if nearer than this, A
# torsions of disordered chains: share, phi, psi (degrees); polyproline II, beta, right- and left-handed helix
COIL = ((0.42, -70., 147.), (0.30, -120., 135.), (0.25, -68., -38.), (0.03, 57., 40.))
SPREAD = 15. # standard deviation about them, degrees

# the molecule

def hinge(s:Structure) -> list[int]: # bead indices
    "Residues of the hinge of the moving Fab."
    r = s.residues
    return np.flatnonzero((r.chain == HEAVY) & r.residue_number.between(FIRST, LAST)).tolist()

def atom_of(s:Structure, residue:int, name:str) -> int:
    "An atom of a residue."
    return int(np.flatnonzero((s.residue_of_atom.numpy() == residue) & ((s.atoms.name == name) & ~s.atoms.carried))[0])

def beyond(s:Structure, residue:int, bond:str) -> tuple[torch.Tensor, int, int]: # mask, atoms of the axis
    "What a turn about the bond N-CA (phi) or CA-C (psi) of a residue of the hinge moves: the side of the Fab."
    owner, chain, r = s.residue_of_atom, s.residues.chain.to_numpy(), np.arange(s.n_beads)
    moving = torch.from_numpy((chain == LIGHT) | ((chain == HEAVY) & (r < residue)))[owner]
    if bond == "phi": return moving, atom_of(s, residue, "N"), atom_of(s, residue, "CA")
    own = (owner == residue) & torch.from_numpy(~s.atoms.name.isin(["C", "O", "OXT"]).to_numpy())
    return moving | own, atom_of(s, residue, "CA"), atom_of(s, residue, "C")

def turned(s:Structure, xyz, residue:int, bond:str, angles) -> torch.Tensor: # (A, 3), (F,) rad -> (F, A, 3)
    "The Fab turned about a bond; everything else stands still."
    moving, a, b = beyond(s, residue, bond)
    axis = torch.nn.functional.normalize((xyz[b] - xyz[a]).double(), dim=0)
    frames = xyz.expand(len(angles), -1, -1).clone()
    turn = torch.as_tensor(angles).double()[:, None, None]*axis
    frames[:, moving] = (rotate((xyz[moving] - xyz[a]).double(), turn) + xyz[a]).to(xyz)
    return frames

def torsion(p) -> float: # (4, 3) -> rad
    "Dihedral angle of four atoms."
    u, v, w = np.diff(np.asarray(p, float), axis=0)
    n, m = np.cross(u, v), np.cross(v, w)
    return math.atan2(np.linalg.norm(v)*(u @ m), n @ m)

class Room:
    "Is the Fab free of the rest? The hinge's atoms are asked too, but not those of neighbours in the chain."
    def __init__(self, s:Structure):
        h, owner = hinge(s), s.residue_of_atom.numpy()
        chain, r, heavy = s.residues.chain.to_numpy(), np.arange(s.n_beads), (s.atom_electrons > 1).numpy()
        fab = ((chain == LIGHT) | ((chain == HEAVY) & (r < h[0])))[owner]
        linker = np.isin(owner, h)
        self.fab, self.linker = np.flatnonzero(heavy & fab), np.flatnonzero(heavy & linker)
        self.rest = np.flatnonzero(heavy & ~fab & ~linker)
        self.far = np.flatnonzero(heavy & ~linker & ~np.isin(owner, [h[0] - 1, h[-1] + 1]))
    def least(self, xyz) -> tuple[float, float]: # (A, 3) -> A
        "Least distance of the Fab, and of the hinge, to other parts."
        x = np.asarray(xyz)
        least = lambda a, b: float(cKDTree(x[b]).query(x[a])[0].min())
        return least(self.fab, self.rest), least(self.linker, self.far)

@functools.cache
def best_bond(s:Structure) -> tuple[int, str, float]: # residue, bond, A
    "The bond of the hinge about which the Fab has most room on its way round, judged every 18 degrees."
    room, angles = Room(s), torch.arange(20)*(2*math.pi/20)
    found = [(min(min(room.least(x)) for x in turned(s, s.xyz, k, bond, angles)), k, bond)
             for k in hinge(s) for bond in ("phi", "psi")]
    least, k, bond = max(found)
    return k, bond, least

def circle(s:Structure) -> tuple[torch.Tensor, pd.DataFrame]: # (N, A, 3) A; what is known of each
    "IgG-1D: the Fab once round."
    k, bond, _ = best_bond(s)
    angles = torch.arange(N)*(2*math.pi/N)
    frames = turned(s, s.xyz, k, bond, angles)
    room = Room(s)
    least = [min(room.least(x)) for x in frames]
    print(f"IgG-1D: turned about {bond} of {s.labels[k]}; nothing nearer to it than {min(least):.2f} A", flush=True)
    return frames, pd.DataFrame(dict(angle_deg=angles.rad2deg().numpy(), least_distance_a=least))

def random_hinge(s:Structure, gen) -> torch.Tensor: # (A, 3)
    "Torsions of the hinge drawn as in disordered chains."
    xyz, share = s.xyz, torch.tensor([c[0] for c in COIL])
    for k in reversed(hinge(s)): # from the Fc side on
        _, phi, psi = COIL[int(torch.multinomial(share, 1, generator=gen))]
        for bond, mean in ("psi", psi), ("phi", phi):
            names = {"phi": ((k - 1, "C"), (k, "N"), (k, "CA"), (k, "C")),
                     "psi": ((k, "N"), (k, "CA"), (k, "C"), (k + 1, "N"))}[bond]
            now = torsion(xyz[[atom_of(s, *name) for name in names]])
            wanted = math.radians(mean + SPREAD*float(torch.randn((), generator=gen)))
            # what moves is the side before the bond: to raise the torsion it turns the other way
            xyz = turned(s, xyz, k, bond, [now - wanted])[0]
            assert abs(math.remainder(torsion(xyz[[atom_of(s, *name) for name in names]]) - wanted, 2*math.pi)) < 1e-2
    return xyz

def random_hinges(s:Structure, seed:int) -> tuple[torch.Tensor, pd.DataFrame]: # (N, A, 3) A
    "IgG-RL: hinges of random shape, without clashes."
    gen, room, frames, rows, tried = generator(seed), Room(s), [], [], 0
    while len(frames) < N:
        tried += 1
        xyz = random_hinge(s, gen)
        least = min(room.least(xyz))
        if least >= NEAR:
            frames.append(xyz)
            rows.append(dict(least_distance_a=least))
    print(f"IgG-RL: {N} of {tried} hinges without clashes", flush=True)
    return torch.stack(frames), pd.DataFrame(rows)

def conformations(which:str, pdb, seed:int) -> tuple[Structure, torch.Tensor, pd.DataFrame, Structure]:
    "The crystal's structure, all conformations, what is known of them, and a nominal model; the mean at the origin."
    s = load_structure(pdb)
    frames, table = circle(s) if which == "IgG-1D" else random_hinges(s, seed)
    k, bond, _ = best_bond(s)
    nominal = turned(s, s.xyz, k, bond, [math.pi/2])[0]
    centre = frames[:, s.bead_atom].mean((0, 1))
    return replace(s, xyz=s.xyz - centre), frames - centre, table, replace(s, xyz=nominal - centre, name="nominal")

# images

class Quick(Simulation):
    "A simulation whose clean images are rendered by splines instead of exactly."
    def clean(self, indices=None, chunk=16, device="cpu"):
        atoms, electrons, sigma = scatterers(self.structure, self.scattering)
        rows = torch.arange(len(self)) if indices is None else torch.atleast_1d(torch.as_tensor(indices))
        frames, sign, out = self.frames[:, atoms], {"light": 1., "dark": -1.}[self.contrast], []
        fine = oversampling(sigma, self.pixel_size)
        for i in rows.split(chunk):
            F = render(frames[self.states[i]], sign*electrons, self.R[i], self.ctf[i], self.box, self.pixel_size[i],
                       sigma, self.shift[i], fine=fine)
            out.append(ifft2c(F, self.box))
        return torch.cat(out)

def imaged(s:Structure, frames, k:int, seed:int, size=SMALL, exact=False) -> Simulation:
    "Clean images of conformation k: poses, shifts, CTF and the noise's seeds are its own."
    own = int(np.random.SeedSequence([seed, k]).generate_state(1, np.uint64)[0] >> 2)
    drawn = simulate(s, frames[k:k + 1], EACH, *size, snr=math.inf, seed=own, optics=OPTICS, max_shift=MAX_SHIFT,
                     contrast="dark", states=torch.zeros(EACH, dtype=torch.long))
    return drawn if exact else Quick(**{f.name: getattr(drawn, f.name) for f in fields(Simulation)})

def noise_level(s, frames, seed, snr=SNR, images=2) -> tuple[float, float]:
    "Standard deviation of the noise in small images, by the recipe for large ones; and SNR in small ones."
    large, small = (torch.cat([imaged(s, frames, k, seed, size).clean(range(images)) for k in range(0, N, 4)])
                    for size in (LARGE, SMALL))
    # the crop keeps grey values: of white noise a quarter of the variance stays, as a quarter of the frequencies does
    std = float(large.std())/math.sqrt(snr)*SMALL[0]/LARGE[0]
    return std, float(small.var())/std**2

def make(a):
    "Write a twin in CryoBench's layout, with star file and atoms beside it."
    asked = dict(set=a.set, each=a.each, seed=a.seed, snr=a.snr)
    if (file := a.folder/"twin.json").is_file() and any((held := read_json(file))[k] != v for k, v in asked.items()):
        raise SystemExit(f"{a.folder} holds another twin: {held}")
    s, frames, table, nominal = conformations(a.set, a.pdb, a.seed)
    out, stacks = a.folder, a.folder/f"images/snr{a.snr:g}"
    stacks.mkdir(parents=True, exist_ok=True)
    std, small_snr = noise_level(s, frames, a.seed, a.snr)
    write_json(file, plain(asked | dict(snr_small=small_snr, noise_std=std, clearance_a=table.least_distance_a.min())))
    print(f"noise of standard deviation {std:.4g}: SNR {a.snr:g} in {LARGE[0]} pixels, {small_snr:.4f} in {SMALL[0]}")
    names = [f"{k:03d}_particles_{SMALL[0]}.mrcs" for k in range(N)]
    drawn, start, made = [], time.perf_counter(), 0
    for k, name in enumerate(names):
        stack = replace(imaged(s, frames, k, a.seed), noise_std=std, snr=small_snr)
        drawn.append(stack)
        if (stacks/name).is_file() and (stacks/name).stat().st_size == 1024 + 4*a.each*SMALL[0]**2: continue
        write_stack(stacks/name, torch.cat([stack.images(i) for i in torch.arange(a.each).split(200)]), SMALL[1],
                    overwrite=True)
        made += a.each
        if k % 10 == 9:
            print(f"{k + 1} conformations; {1e3*(time.perf_counter() - start)/made:.1f} ms an image", flush=True)
    for k in range(N):
        if not (file := out/f"vols/{SMALL[0]}_org/{k:03d}.mrc").is_file():
            write_map(structure_map(replace(s, xyz=frames[k]), *SMALL), file)
    of = lambda f: torch.cat([f(d)[:a.each] for d in drawn])
    c, side = lambda f: of(lambda d: f(d.ctf)), LARGE[0]*LARGE[1]
    labels = np.repeat(np.arange(N), a.each)
    ctfs = torch.stack([torch.full((len(labels),), float(LARGE[0])), torch.full((len(labels),), LARGE[1]),
                        c(lambda v: v.defocus_u), c(lambda v: v.defocus_v), c(lambda v: v.defocus_angle).rad2deg(),
                        c(lambda v: v.voltage)/1e3, c(lambda v: v.spherical_aberration)/1e7,
                        c(lambda v: v.amplitude_contrast), c(lambda v: v.phase_shift).rad2deg()], 1).numpy()
    poses = of(lambda d: d.R).numpy(), (-of(lambda d: d.shift)/side).numpy()
    for name, value in ("combined_poses", poses), ("combined_ctfs", ctfs), ("gt_latents", labels):
        with write_atomic(out/f"{name}.pkl") as tmp: tmp.write_bytes(pickle.dumps(value))
    with write_atomic(stacks/f"sorted_particles.{SMALL[0]}.txt") as tmp: tmp.write_text("\n".join(names) + "\n")
    beads = frames[:, s.bead_atom].numpy()
    for file, arrays in (("particles_truth.npz", dict(beads=beads, states=labels)),
                         ("conformations.npz", dict(xyz=frames.numpy()))):
        with write_atomic(out/file) as tmp: np.savez_compressed(tmp, **arrays)
    with write_atomic(out/"particles_truth.csv") as tmp:
        pd.DataFrame(dict(image=np.arange(len(labels)), state=labels)).join(
            table.iloc[labels].reset_index(drop=True)).to_csv(tmp, index=False)
    save_structure(s, out/"crystal.cif", overwrite=True)
    save_structure(nominal, out/"nominal.cif", overwrite=True)
    particles, truth = read_cryobench(out, b_factor=OPTICS.b_factor_a2, arrangement=SETS[a.set])
    write_star(with_tables(particles, [f"{stacks.relative_to(out)}/{names[k]}" for k in particles.file]),
               out/"particles.star", overwrite=True)
    print(particles, truth, sep="\n")

def check(a):
    "The short cuts: spline for atoms, small grid for large, white noise for cropped noise."
    s, frames, _, _ = conformations(a.set, a.pdb, a.seed)
    rows = range(4)
    crop = lambda x: ifft2c(fourier_crop(fft2c(x), LARGE[0], SMALL[0]), SMALL[0])
    quick = torch.cat([imaged(s, frames, k, a.seed).clean(rows) for k in (0, 37)])
    exact = torch.cat([imaged(s, frames, k, a.seed, exact=True).clean(rows) for k in (0, 37)])
    long = crop(torch.cat([imaged(s, frames, k, a.seed, LARGE, exact=True).clean(rows) for k in (0, 37)]))
    off = lambda x, y: float((x - y).square().mean().sqrt()/y.std())
    std, snr = noise_level(s, frames, a.seed)
    noise = crop(torch.randn(64, LARGE[0], LARGE[0], generator=generator(0))).var()*(LARGE[0]/SMALL[0])**2
    row = dict(set=a.set, spline=off(quick, exact), large_and_cropped=off(exact, long), together=off(quick, long),
               noise_of_crop=float(noise), snr_small=snr)
    start = time.perf_counter()
    imaged(s, frames, 1, a.seed).clean(range(200))
    row["ms_an_image"] = 1e3*(time.perf_counter() - start)/200
    print(pd.Series(row).to_string())

# runs and their marks

def domains(s:Structure) -> torch.Tensor: # (R,) long
    "Its twelve immunoglobulin domains."
    r = s.residues
    heavy = r.chain.isin(["H", "K"])
    domain = np.where(heavy, np.digitize(r.residue_number, [114, 232, 361]), 4 + (r.residue_number >= 108))
    return torch.from_numpy(2*domain + r.chain.isin(["K", "M"]).to_numpy())

def dihedral(s:Structure, beads) -> torch.Tensor: # (n, R, 3) -> (n,) rad
    "How far the Fab is turned about the bond of IgG-1D, seen from the rest: the twist of its rotation."
    moving, a, b = beyond(s, *best_bond(s)[:2])
    fab, x = moving[s.bead_atom], s.beads.double()
    beads = beads.double()
    to = lambda own: superpose(x[own].expand(len(beads), -1, -1), beads[:, own])[0]
    q = roma.rotmat_to_unitquat(to(~fab).mT @ to(fab))
    axis = torch.nn.functional.normalize((s.xyz[b] - s.xyz[a]).double(), dim=0)
    return 2*torch.atan2(q[:, :3] @ axis, q[:, 3])

def told_by_atoms(run, folder, truth, which) -> dict:
    "RMSD without superposition, image by image; for IgG-1D the dihedral."
    s, frames = load_structure(folder/"crystal.cif"), torch.from_numpy(np.load(folder/"particles_truth.npz")["beads"])
    found, angles = [], []
    for k, true in enumerate(frames):
        own = (truth.labels == k).nonzero().flatten()
        x = run.coordinates(own)
        found.append(rmsd(x.double(), true.double().expand_as(x), False))
        angles.append(dihedral(s, x))
    told = dict(rmsd=float(torch.cat(found).median()), rmsd_of=[float(v.median()) for v in found])
    if which != "IgG-1D": return told
    true = torch.arange(N).double().repeat_interleave(len(truth)//N)*(2*math.pi/N)
    angles = torch.cat(angles)
    off = torch.atan2((angles - true).sin(), (angles - true).cos()).abs().rad2deg()
    return told | dict(r_circular=circular_correlation(angles, true), off_deg=float(off.median()),
                       within_30_deg=float((off < 30).double().mean()),
                       off_of=[float(v.median()) for v in off.split(len(truth)//N)])

def known(folder, each=None):
    "A twin: what was written when it was made, images, truth; all, or the first so many of each conformation."
    about = read_json(folder/"twin.json")
    particles, truth = read_cryobench(folder, b_factor=OPTICS.b_factor_a2, arrangement=SETS[about["set"]])
    if about["set"] == "IgG-RL": # conformations are as near to each other as their RMSD is small
        beads = np.load(folder/"particles_truth.npz")["beads"].reshape(N, -1)
        u, size, _ = np.linalg.svd(beads - beads.mean(0), full_matrices=False)
        truth = replace(truth, latents=torch.from_numpy(u*size)[truth.labels])
    return about, *first(particles, truth, each)

def first(particles, truth, each):
    "The first so many images of each conformation, and their truth."
    rows = np.arange(len(particles)).reshape(N, -1)[:, :each].ravel()
    return particles.select(rows), replace(truth, labels=truth.labels[rows], latents=truth.latents[rows])

def measure(a):
    "Train and score."
    about, particles, every = known(a.folder, a.each)
    own = dict(stack=about["set"], snr=about["snr"], snr_small=about["snr_small"], stack_images=len(particles),
               data_seed=about["seed"], settings=dict(a.set))
    for seed in a.seeds:
        for degraded in a.nominal:
            model = load_structure(a.folder/"nominal.cif")
            if degraded == "degraded": model = degrade_model(model, domains(model), 4., 1.)
            with contextlib.nullcontext(a.keep) if a.keep else tempfile.TemporaryDirectory() as keep:
                out = Path(keep)/"_".join([about["set"], str(len(particles)), degraded, str(seed), *(
                    f"{k}{v}" for k, v in a.set)])
                start, cpu = time.perf_counter(), time.process_time()
                run = train_fully(particles, model, out, resume=out.is_dir(), seed=seed, **dict(a.set))
                truth = every
                if a.ask:
                    some, truth = first(particles, every, a.ask)
                    found = run.infer(some, refine=PosteriorSettings().refine)
                    run = replace(run, latents=found.latents, latent_cov=found.latent_cov)
                minutes, cpu = (time.perf_counter() - start)/60, (time.process_time() - cpu)/60
                start = time.perf_counter()
                score = score_cryobench(run, truth)
                row = dict(method="default" if not a.set else "settings", subset=f"{degraded} nominal", seed=seed,
                           asked=len(truth), minutes=minutes, cpu_minutes=cpu, minutes_training=run.state.elapsed/60,
                           epochs=run.state.epoch, minutes_score=(time.perf_counter() - start)/60)
                row |= {k: float(v) for k, v in score.summary.items()}
                row |= told_by_atoms(run, a.folder, truth, about["set"])
                row |= dict(auc_of=score.conformations.auc.tolist(), nominal_of=score.conformations.nominal.tolist(),
                            nats=float(run.information.nanmedian()))
            print(score, pd.Series({k: v for k, v in row.items() if not isinstance(v, list)}).to_string(), sep="\n",
                  flush=True)
            store(a.out, pd.DataFrame([row]), facts() | own)

def forecast(a):
    "What `plan` says of a whole run."
    about, particles, _ = known(a.folder)
    p = plan(particles, load_structure(a.folder/"nominal.cif"), n_images=a.images, **dict(a.set))
    print(p)
    row = dict(method="plan", subset="", seed=0, stack=about["set"], stack_images=a.images, settings=dict(a.set),
               minutes=float(p.minutes), minutes_epoch=float(p.epoch_minutes), minutes_poses=float(p.pose_minutes),
               epochs=p.config.epochs, batch=p.config.batch_size, gb=float(p.peak_gb))
    store(a.out, pd.DataFrame([row]), facts())

if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    todo = p.add_subparsers(dest="todo", required=True)
    for name, what in ("make", make), ("check", check):
        q = todo.add_parser(name)
        q.add_argument("set", choices=list(SETS))
        q.add_argument("pdb", type=Path)
        if name == "make":
            q.add_argument("folder", type=Path)
            q.add_argument("--each", type=int, default=EACH, help="images of each conformation (1000)")
            q.add_argument("--snr", type=float, default=SNR, help="of the large images (0.01)")
        q.add_argument("--seed", type=int, default=0)
        q.add_argument("--threads", type=int, default=1)
        q.set_defaults(run=what)
    for name, what in ("fit", measure), ("plan", forecast):
        q = todo.add_parser(name)
        q.add_argument("folder", type=Path)
        run_options(q, "cryobench_twin.json")
        if name == "fit":
            q.add_argument("--each", type=int, help="take the first so many images of each conformation (all)")
            q.add_argument("--ask", type=int, help="after `--set refine=0`: search the posterior of, and score, the "
                                                   "first so many images of each conformation only")
            q.add_argument("--nominal", nargs="+", default=["turned"], choices=["turned", "degraded"],
                           help="nominal model: the Fab turned by 90 degrees; and every domain 4 degrees and 1 A off")
        else: q.add_argument("--images", type=int, default=N*EACH, help="as many images (100000)")
        q.set_defaults(run=what)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    a.run(a)
