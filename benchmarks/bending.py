"""What do segments gain that bend, and do they stay rigid where nothing bends?

    python benchmarks/bending.py adenylate_kinase --snr 0.05 0.01 --segments 20 --modes 0 2 --seeds 0 1 2
    python benchmarks/bending.py two_body_small --snr 0.1 0.01 --segments 10 --images 5000 --modes 0 2
    python benchmarks/bending.py floors

Stacks are those of chapter 90; settings are the defaults of `fit`, but for the number of segments, `bending_modes`, and
what --set says. Beside r and RMSD a row holds: the loss of held-out images (nats an image); whether images asked for
bends; the mean absolute difference of the RMSF of residues between recovered and true structures (LFC); the mean
over the true structures of the least RMSD to one of 100 recovered ones (SAC); what changes of bond lengths, of all
atoms, within segments (residues that belong to one segment to 0.999), and at their borders; pairs of Cα atoms nearer
than 4 Å, pairs of heavy atoms nearer than 2.2 Å, of residues that are no neighbours; how far bends move beads, in all
images alike and from image to image.

`floors` asks without images what segments could reach at best on the true movie of adenylate kinase: equal pieces,
rigid; with one bend that all structures share; with K modes of bending besides, their amounts free in every
structure. Rows are added to results/bending.json as they are measured."""
import argparse, contextlib, itertools, tempfile
from pathlib import Path

import numpy as np, pandas as pd, torch
from scipy.spatial import cKDTree

from recovery import facts, run_options, show_and_store, store

from cryosphere_nb.benchmarks import STACKS, make_stack, mark, posterior_coverage, train_fully
from cryosphere_nb.core import generator
from cryosphere_nb.decoder import Bending
from cryosphere_nb.geometry import apply_rigid, superpose
from cryosphere_nb.losses import count_clashes
from cryosphere_nb.structure import bonded_pairs

def rmsf(x): # (n, R, 3) -> (R,) Å
    return (x - x.mean(0)).square().sum(-1).mean(0).sqrt()

def least_rmsd(movie, coords, n=100) -> float: # (F, R, 3), (N, R, 3), Å
    "Mean over true structures of the RMSD to the nearest of `n` recovered ones, of images drawn at random."
    some = coords[torch.randperm(len(coords), generator=generator(0))[:n]]
    return float((movie[:, None] - some).square().sum(-1).mean(-1).sqrt().min(1).values.mean())

def bonds_of(structure): # -> (J, 2) atoms
    "Pairs of atoms at the distance of a bond."
    pairs = torch.from_numpy(cKDTree(structure.xyz.numpy()).query_pairs(1.95, output_type="ndarray")).long()
    light = torch.tensor(structure.atoms.element.isin(["H", "D"]).to_numpy())[pairs].any(1)
    return pairs[~light | ((structure.xyz[pairs[:, 0]] - structure.xyz[pairs[:, 1]]).norm(dim=1) < 1.25)]

def heavy_contacts(structure, x) -> int: # (A, 3) Å
    "Pairs of heavy atoms nearer than 2.2 Å, of residues that do not follow each other."
    heavy = (structure.atom_electrons > 1).nonzero().flatten()
    own, pairs = structure.residue_of_atom[heavy], cKDTree(x[heavy].numpy()).query_pairs(2.2, output_type="ndarray")
    return int(((own[pairs[:, 0]] - own[pairs[:, 1]]).abs() > 1).sum())

@torch.no_grad()
def geometry(run, n=40) -> dict:
    "Bonds and contacts of all-atom structures."
    s, rows = run.nominal, torch.linspace(0, len(run) - 1, n).long()
    bonds, own, G = bonds_of(s), s.residue_of_atom, run.segment_weights
    length = lambda x: (x[..., bonds[:, 0], :] - x[..., bonds[:, 1], :]).norm(dim=-1)
    x = run.decode_atoms(run.latents[rows])
    change = (length(x) - length(s.xyz)).abs()
    two = own[bonds]
    within, same = two[:, 0] == two[:, 1], run.segments[two[:, 0]] == run.segments[two[:, 1]]
    sharp = (G.max(1).values > 0.999)[two].all(1)
    most = lambda rows: float(change[:, rows].max()) if rows.any() else 0.
    beads, joined = run.decode(run.latents[rows]), bonded_pairs(s)
    return dict(bond_residue=most(within), bond_segment=most(~within & same & sharp),
                bond_segment_rms=float(change[:, ~within & same & sharp].square().mean().sqrt()),
                bond_border_rms=float(change[:, ~within & ~same].square().mean().sqrt()),
                clashes=float(count_clashes(beads, joined).float().mean()),
                contacts=float(np.mean([heavy_contacts(s, y) for y in x])))

@torch.no_grad()
def bends_of(run) -> dict:
    "How far bends move beads, Å, in all images alike and from image to image (root mean squares)."
    bending = run.model.decoder.bending
    if bending is None: return dict(bends=False, bend_shared=0., bend_varies=0.)
    moved = bending(run.latents[run.thinned(300)], run.model.segmentation()) - bending.beads
    size = lambda v: float(v.square().sum(-1).mean().sqrt())
    return dict(bends=bool(run.state.bends), bend_shared=size(moved.mean(0)), bend_varies=size(moved - moved.mean(0)))

def bending_row(stack, run) -> dict:
    "What there is to say of a run."
    coords = run.coordinates()
    return (mark(stack, coords, stack.states, run.segments)
            | dict(coverage=posterior_coverage(run, stack), held_out=run.state.best_held_out.get("loss"),
                   lfc=float((rmsf(coords) - rmsf(stack.truth)).abs().mean()), sac=least_rmsd(stack.movie, coords),
                   domains=len(run.domains))
            | bends_of(run) | geometry(run))

def fitted(nominal, pieces, movie, K, steps=250) -> tuple[float, float]: # RMSD, Å; turn of residues, rad
    "Median over the movie when a bend that is shared, and K modes with free amounts, are fitted to it."
    G, target = torch.nn.functional.one_hot(pieces).float(), torch.zeros_like(movie)
    for own, x in itertools.product(G.T.bool(), range(len(movie))): # laid on the nominal piece
        target[x, own] = apply_rigid(movie[x, own], *superpose(movie[x, own], nominal[own]))
    off = lambda x: (x - target).square().sum(-1).mean(1)
    if K is None: return float(off(nominal).sqrt().median()), 0.
    links = torch.stack([torch.arange(len(nominal) - 1), torch.arange(1, len(nominal))], 1)
    bending = Bending(nominal, links, 1, K)
    gen = generator(0)
    with torch.no_grad(): bending.turns.copy_(1e-2*torch.randn(1 + K, len(nominal), 3, generator=gen))
    amounts = torch.randn(len(movie), K, generator=gen).requires_grad_()
    bending.amounts = lambda z: torch.cat([torch.ones(len(movie), 1), amounts], 1)
    adam = torch.optim.Adam([bending.turns, amounts], 2e-2)
    x = lambda: bending(torch.zeros(len(movie), 1), G)
    for step in range(steps):
        if step == 2*steps//3: adam.param_groups[0]["lr"] = 3e-3
        adam.zero_grad()
        off(x()).mean().backward()
        adam.step()
    turned = bending.fields(torch.zeros(len(movie), 1), *bending.pieces(G))[0]
    return float(off(x().detach()).sqrt().median()), float(turned.detach().square().sum(0).mean().sqrt())

def floors(a):
    "A row for each number of pieces and of modes."
    structure, frames, _ = STACKS["adenylate_kinase"].movie()
    movie, rows = frames[:, structure.bead_atom], []
    for n, K in itertools.product((10, 20, 40), (None, 0, 1, 2, 4)):
        pieces = torch.arange(structure.n_beads)*n//structure.n_beads
        rmsd, turned = fitted(structure.beads, pieces, movie, K)
        rows.append(dict(method="rigid" if K is None else f"a shared bend and {K} modes", stack="adenylate_kinase",
                         subset="true movie", settings=dict(n_segments=n, bending_modes=K), rmsd=rmsd, turned=turned))
    show_and_store(a.out, pd.DataFrame(rows), {})

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("stacks", nargs="+", choices=["floors", *STACKS], metavar="stack",
                   help="'floors', or stacks to run: " + ", ".join(STACKS))
    p.add_argument("--snr", type=float, nargs="+", default=[0.05], help="signal-to-noise ratios (0.05)")
    p.add_argument("--segments", type=int, nargs="+", default=[20], help="numbers of segments to allow (20)")
    p.add_argument("--modes", type=int, nargs="+", default=[0, 2], help="values of `bending_modes` (0 2)")
    p.add_argument("--images", type=int, default=10_000, help="images (10000)")
    run_options(p, "bending.json")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    if a.stacks[0] == "floors": return floors(a)
    for name, snr in itertools.product(a.stacks, a.snr):
        stack = make_stack(name, snr, a.images, 1000, 1, a.cache)
        for n, K, seed in itertools.product(a.segments, a.modes, a.seeds):
            settings = dict(n_segments=n, bending_modes=K) | dict(a.set)
            with contextlib.nullcontext(a.keep) if a.keep else tempfile.TemporaryDirectory() as folder:
                out = Path(folder)/"_".join(map(str, (name, snr, a.images, seed,
                                                      *(f"{k}={v}" for k, v in settings.items()))))
                run = train_fully(stack.particles, stack.nominal, out, resume=out.is_dir(),
                                  **STACKS[name].settings | settings | dict(seed=seed))
                row = dict(method="bending" if K else "rigid", stack=name, snr=snr, seed=seed, subset="trained on",
                           data_seed=1, settings=settings, stack_images=a.images,
                           minutes=run.state.elapsed/60) | bending_row(stack, run)
            store(a.out, pd.DataFrame([row]), facts())
            print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()
                   if k not in ("subset", "data_seed")}, flush=True)

if __name__ == "__main__": main()
