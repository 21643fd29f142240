"""Does the division into domains come out right, whatever the number of segments, the noise, the seed, the batches?

    python benchmarks/segments.py two_body_small --snr 0.1 0.01 --segments 5 10 20 40 --seeds 0 1 2 --images 5000
    python benchmarks/segments.py adenylate_kinase --snr 0.05 0.01 --segments 10 20 40 --seeds 0 1 2
    python benchmarks/segments.py complex --segments 20 --images 2000 20000 --set batch_size=32
    python benchmarks/segments.py nominal_only bending --segments 10
    python benchmarks/segments.py two_body_small --snr 0.01 --segments 10 --images 5000 --seeds 0 1 2 3 4 --trace --out benchmarks/results/starts.json

Stacks are those of chapter 90; settings are the defaults of `fit`, but for what --set says. The domains of a run are
compared with the true bodies of the stack; where there are none that clear, with the domains of the true structures,
found by the same rule (`find_domains` of twenty equal pieces); and for adenylate kinase with CORE, NMP and LID as
published, too, and with what follows their motions (each residue given to the published body whose motion takes it
nearest to where it goes). Rows are added to results/segments.json as they are measured. A first Ctrl-C, or SIGTERM, ends
the script: a run that was in training gives no row (with --keep the same command goes on with it), a run that was being
measured is measured and stored first."""
import argparse, contextlib, itertools, sys, tempfile
from pathlib import Path

import pandas as pd, torch

from recovery import facts, run_options, store

from cryosphere_nb.benchmarks import STACKS, interval_coverage, make_stack, mark, posterior_coverage, train_fully
from cryosphere_nb.core import generator
from cryosphere_nb.domains import find_domains
from cryosphere_nb.geometry import apply_rigid, superpose
from cryosphere_nb.learner import Callback, TrainState, stop_on_interrupt
from cryosphere_nb.measures import agreement, annotated
from cryosphere_nb.metrics import coordinate_rmsd, hinge_positions, pearson, principal_motions
from cryosphere_nb.missed import missed_motion
from cryosphere_nb.inference import chain_misfit

PUBLISHED = dict(adenylate_kinase={"CORE": "4AKE:1-29,60-121,160-214", "NMP": "4AKE:30-59", "LID": "4AKE:122-159"})

def true_domains(stack): # `BenchmarkStack` -> (R,) labels
    "The true bodies, or domains of the true structures."
    R, starts = stack.nominal.n_beads, STACKS[stack.name].starts
    if starts is not None:
        return torch.bucketize(torch.arange(R), torch.tensor(starts, dtype=torch.long), right=True)
    if len(stack.movie) < 2: return torch.zeros(R, dtype=torch.long)
    some = stack.states[torch.randperm(len(stack.states), generator=generator(0))[:1000]]
    return find_domains(stack.movie[some], torch.arange(R)*20//R, stack.nominal).labels

def edges(labels) -> list: # (R,) -> first residue of each new stretch, however short
    return hinge_positions(labels, min_length=1).tolist()

def within_chains(borders, structure) -> list: # indices
    "Those that are not at the start of a chain."
    chain = structure.residues.chain.tolist()
    return [e for e in borders if chain[e] == chain[e - 1]]

def listed(values, form="") -> str:
    "Several numbers in one column."
    return " ".join(f"{v:{form}}" for v in values)

def followed(movie, labels) -> torch.Tensor: # movie (F, R, 3); bodies (R,) -> (R,)
    """Each residue given to the body whose rigid motion between the two ends of a movie takes it nearest to where it
    goes."""
    a, b, off = movie[0], movie[-1], []
    for k in range(int(labels.max()) + 1):
        own = labels == k
        off.append((apply_rigid(a, *superpose(a[own], b[own])) - b).norm(dim=1))
    return torch.stack(off).argmin(0)

def bodies_found(stack, coords, true) -> dict: # recovered (n, R, 3)
    "Of each true body: Pearson's r along its own first motion, and RMSD in Å."
    r, rmsd = [], []
    for k in range(int(true.max()) + 1):
        own, found = stack.truth[:, true == k], coords[:, true == k]
        rmsd.append(float(coordinate_rmsd(found, own).median()))
        moves = float((own - own.mean(0)).square().sum(-1).mean()) > 1e-4
        motion = principal_motions(own) if moves else None
        r.append(float(pearson(motion.coordinate(found)[:, 0], motion.coordinate(own)[:, 0])) if moves
                 else float("nan"))
    return dict(body_r=listed(r, ".3f"), body_rmsd=listed(rmsd, ".2f"))

def residue_coverage(stack, run, groups, moving=(), images=200, k=99) -> str: # groups: masks (R,)
    "Share of the coordinates of residues that lie within their 90 % interval, for each group of residues."
    rows = torch.linspace(0, len(run) - 1, images).long()
    samples = torch.cat([run.sample_structures(i, k, moving=moving) for i in rows.split(8)])
    inside = torch.tensor([interval_coverage(x.movedim(1, -1).flatten(0, -2), true.flatten())
                           for x, true in zip(samples.unbind(2), stack.truth[rows].unbind(1))]) # residue by residue
    return listed((inside[own].mean() for own in groups), ".3f")

def groups_of(stack, true) -> list: # of masks (R,)
    "True bodies where they are known; else thirds of the chain, from the one that moves least."
    if STACKS[stack.name].starts is not None: return [true == k for k in range(int(true.max()) + 1)]
    moves = (stack.truth - stack.truth.mean(0)).square().sum(-1).mean(0)
    return [torch.zeros(len(true), dtype=torch.bool).index_fill(0, i, True) for i in moves.argsort().tensor_split(3)]

def missed_of(stack, run, groups) -> tuple[dict, list]: # columns, what `sample_structures` takes
    """What the run has missed of each group as a body, beside its true error in Å, whatever is the same in all images
    left out."""
    found = missed_motion(run, stack.particles, {str(k): own for k, own in enumerate(groups)}, 1000)
    error = run.coordinates() - stack.truth
    error = error - error.mean(0)
    t = found.table
    return dict(missed=listed(t.missed_a, ".2f"), missed_low=listed(t.low_a, ".2f"),
                missed_high=listed(t.high_a, ".2f"), missed_gain=listed(t.gain, ".1f"),
                error=listed((error[:, own].square().sum(-1).mean().sqrt() for own in groups), ".2f")), found.moving

def segments_row(stack, run) -> dict:
    "What there is to say of the domains of a run."
    d, true = run.domains, true_domains(stack)
    index = {name: k for k, name in enumerate(stack.nominal.labels)}
    ranges = [(index[a], index[b]) for a, b in zip(d.borders["first"], d.borders["last"])]
    coords = run.coordinates()
    row = (mark(stack, coords, stack.states, run.segments) | bodies_found(stack, coords, true)
           | dict(coverage=posterior_coverage(run, stack), open=listed(d.borders.n_open)))
    row |= dict(
        domains=len(d), true_domains=int(true.max()) + 1, ari=float(agreement(d.labels, true).ari),
        borders=listed(edges(d.labels)), true_borders=listed(edges(true)),
        in_range=listed(int(any(a <= e <= b for a, b in ranges))
                        for e in within_chains(edges(true), stack.nominal)),
        segment_borders=listed(edges(run.segments)), misfit_a=run.misfit_a)
    groups = groups_of(stack, true)
    columns, moving = missed_of(stack, run, groups)
    row |= columns | dict(
        covered=residue_coverage(stack, run, groups),
        covered_moving=residue_coverage(stack, run, groups, moving) if moving else "",
        batch_size=run.config.batch_size, epochs=run.config.epochs)
    if stack.name in PUBLISHED:
        bodies = annotated(stack.nominal, PUBLISHED[stack.name])
        row["ari_published"] = float(agreement(d.labels, bodies).ari)
        row["ari_followed"] = float(agreement(d.labels, followed(stack.movie, bodies)).ari)
    return row

class Trace(Callback):
    "ARI of the domains to the true ones after each epoch, from 300 images at the encoder's answers."
    order = 90
    def __init__(self, stack): self.structure, self.true, self.ari = stack.nominal, true_domains(stack), []
    def after_epoch(self, learner):
        model, batch = learner.model, learner.data.batch(range(300)).to(learner.device)
        with torch.no_grad(): z = model.latents_of(batch)
        m = float((3*chain_misfit(model, z).square().sum(1).mean()).sqrt())
        found = find_domains(model.decode(z), model.segmentation.labels(), self.structure, misfit_a=m)
        self.ari.append(float(agreement(found.labels, self.true).ari))

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("stacks", nargs="+", choices=list(STACKS), metavar="stack",
                   help="stacks to run: " + ", ".join(STACKS))
    p.add_argument("--snr", type=float, nargs="+", default=[0.05], help="signal-to-noise ratios (0.05)")
    p.add_argument("--segments", type=int, nargs="+", default=[10], help="numbers of segments to allow (10)")
    p.add_argument("--images", type=int, nargs="+", default=[10_000], help="images (10000)")
    p.add_argument("--trace", action="store_true", help="ARI after every epoch, too")
    run_options(p, "segments.json")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    for name, snr, images in itertools.product(a.stacks, a.snr, a.images):
        stack = make_stack(name, snr, images, 1000, 1, a.cache)
        for n, seed in itertools.product(a.segments, a.seeds):
            settings = dict(n_segments=n) | dict(a.set)
            with contextlib.nullcontext(a.keep) if a.keep else tempfile.TemporaryDirectory() as folder:
                out = Path(folder)/"_".join(map(str, (name, snr, images, seed,
                                                      *(f"{k}={v}" for k, v in settings.items()))))
                run = train_fully(stack.particles, stack.nominal, out, resume=out.is_dir(),
                                  callbacks=[trace := Trace(stack)] if a.trace else [],
                                  **STACKS[name].settings | settings | dict(seed=seed))
                told = TrainState()
                with stop_on_interrupt(told): # a signal that comes now waits until the row is stored
                    row = (dict(stack=name, snr=snr, n_segments=n, seed=seed, subset="trained on", method="default",
                                data_seed=1, settings=settings, stack_images=images, minutes=run.state.elapsed/60)
                           | segments_row(stack, run) | (dict(trace=listed(trace.ari, ".3f")) if a.trace else {}))
                    store(a.out, pd.DataFrame([row]), facts())
            print({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()
                   if k not in ("subset", "method", "data_seed", "settings")}, flush=True)
            if told.interrupted: raise KeyboardInterrupt

if __name__ == "__main__":
    try: main()
    except KeyboardInterrupt as e:
        sys.exit(f"Stopped. Rows of the runs that were finished are stored. {e}".strip())
