"""Does the division into domains come out right, whatever the number of segments, the noise, the seed, the batches?

    python benchmarks/segments.py two_body_small --snr 0.1 0.01 --segments 5 10 20 40 --seeds 0 1 2 --images 5000
    python benchmarks/segments.py adenylate_kinase --snr 0.05 0.01 --segments 10 20 40 --seeds 0 1 2
    python benchmarks/segments.py nominal_only --segments 10

Stacks are those of chapter 90; settings are the defaults of `fit`, but for what --set says. The domains of a run are compared with those of the true structures, found
by the same rule (`find_domains` of twenty equal pieces), and for adenylate kinase with CORE, NMP and LID as published, too. Rows are added to results/segments.json."""
import argparse, tempfile, time
from pathlib import Path

import pandas as pd, torch

from recovery import RESULTS, facts, setting, store

from cryosphere_nb.benchmarks import STACKS, make_stack, mark
from cryosphere_nb.core import generator
from cryosphere_nb.domains import find_domains
from cryosphere_nb.measures import agreement, annotated
from cryosphere_nb.train import fit

PUBLISHED = dict(adenylate_kinase={"CORE": "4AKE:1-29,60-121,160-214", "NMP": "4AKE:30-59", "LID": "4AKE:122-159"})

def true_domains(stack): # `BenchmarkStack` -> (R,) labels
    "Domains of the true structures."
    R = stack.nominal.n_beads
    if len(stack.movie) < 2: return torch.zeros(R, dtype=torch.long)
    some = stack.states[torch.randperm(len(stack.states), generator=generator(0))[:1000]]
    return find_domains(stack.movie[some], torch.arange(R)*20//R, stack.nominal).labels

def edges(labels): return (labels[1:] != labels[:-1]).nonzero().flatten() + 1

def segments_row(stack, run, minutes:float) -> dict:
    "What there is to say of the domains of a run."
    d, true = run.domains, true_domains(stack)
    index = {name: k for k, name in enumerate(stack.nominal.labels)}
    ranges = [(index[a], index[b]) for a, b in zip(d.borders["first"], d.borders["last"])]
    row = mark(stack, run.coordinates(), stack.states, run.segments)
    row |= dict(domains=len(d), true_domains=int(true.max()) + 1, ari=agreement(d.labels, true).ari, borders=" ".join(str(int(e)) for e in edges(d.labels)), true_borders=" ".join(str(int(e)) for e in edges(true)),
                in_range=" ".join(str(int(any(a <= e <= b for a, b in ranges))) for e in edges(true)), segment_borders=" ".join(str(int(e)) for e in edges(run.segments)), misfit_a=run.misfit_a, minutes=minutes)
    if stack.name in PUBLISHED: row["ari_published"] = agreement(d.labels, annotated(stack.nominal, PUBLISHED[stack.name])).ari
    return row

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("stacks", nargs="+", choices=list(STACKS), metavar="stack", help="stacks to run: " + ", ".join(STACKS))
    p.add_argument("--snr", type=float, nargs="+", default=[0.05], help="signal-to-noise ratios (0.05)")
    p.add_argument("--segments", type=int, nargs="+", default=[10], help="numbers of segments to allow (10)")
    p.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds of the training (0)")
    p.add_argument("--images", type=int, default=10_000, help="images (10000)")
    p.add_argument("--set", type=setting, nargs="+", default=[], metavar="NAME=VALUE", help="more settings of `fit`")
    p.add_argument("--threads", type=int, default=1, help="threads (1)")
    p.add_argument("--cache", help="folder for clean images")
    p.add_argument("--out", type=Path, default=RESULTS/"segments.json", help="file that the rows are added to (results/segments.json)")
    a = p.parse_args(); torch.set_num_threads(a.threads)
    for name in a.stacks:
        for snr in a.snr:
            stack = make_stack(name, snr, a.images, 1000, 1, a.cache)
            for n in a.segments:
                for seed in a.seeds:
                    settings, started = dict(n_segments=n) | dict(a.set), time.perf_counter()
                    with tempfile.TemporaryDirectory() as folder:
                        run = fit(stack.particles, stack.nominal, Path(folder)/"run", progress=False, **STACKS[name].settings | settings | dict(seed=seed))
                        row = dict(stack=name, snr=snr, n_segments=n, seed=seed, subset="trained on", method="default", data_seed=1, settings=settings, stack_images=a.images) | segments_row(stack, run, (time.perf_counter() - started)/60)
                    store(a.out, pd.DataFrame([row]), facts())
                    print({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items() if k not in ("subset", "method", "data_seed", "settings")}, flush=True)

if __name__ == "__main__": main()
