"""What does the posterior of an image cost, and is it honest? By pictures one by one, and by conformations for all.

    python benchmarks/posterior.py                                   # adenylate kinase at SNR 0.05, 0.01 and 0.001
    python benchmarks/posterior.py --snr 0.05 --stack-images 1500 --images 1000 --epochs 2 --out try.json   # rehearse

One run with default settings learns from the images of a noise level (chapter 90). Then the posteriors of the first of
these images are found in two ways, in turns, with the same model: each image is compared with pictures of candidates,
or all images with the same conformations, by eigenvolumes (chapter 18). Times are of the processor, on one thread;
conformations are made once, so their time is also taken with all images of the stack. Marked are r, RMSD, and how often
the 90 % interval of the motion holds the truth. Rows are added to results/posterior.json as they are measured."""
import argparse, statistics, time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd, torch

from recovery import facts, run_options, store

from cryosphere_nb.benchmarks import STACKS, make_stack, mark, posterior_coverage, train_fully
from cryosphere_nb.inference import infer

WAYS = {"pictures, one by one": None, "conformations, for all": "many"}

def milliseconds(run, particles, shared): # finished run, `Particles`, as for `infer` -> found, of processor an image
    "Posteriors, and how long they took."
    data, started = run.prepare(particles, progress=False), time.process_time()
    found = infer(run.model, data, len(particles), run.config, shared=shared)
    return found, 1e3*(time.process_time() - started)/len(particles)

def ask(run, stack, n:int, rounds:int) -> list: # finished run, `BenchmarkStack`, images -> rows
    "Both ways, in turns."
    part = replace(stack, particles=stack.particles.select(range(n)))
    took, found = {way: [] for way in WAYS}, {}
    for way, shared in list(WAYS.items())*rounds:
        found[way], ms = milliseconds(run, part.particles, shared)
        took[way].append(ms)
    _, ms_all = milliseconds(run, stack.particles, "many")
    table = []
    for way, (mean, cov, match, *_) in found.items():
        own = replace(run, latents=mean, latent_cov=cov, correlations=match)
        table.append(dict(way=way, images=n, ms=statistics.median(took[way]), ms_all=ms_all if WAYS[way] else None)
                     | mark(part, run.decode(mean), part.states, run.segments)
                     | dict(coverage=posterior_coverage(own, part)))
    return table

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--stack", choices=list(STACKS), default="adenylate_kinase", metavar="STACK",
                   help="stack of chapter 90 (adenylate_kinase)")
    p.add_argument("--snr", type=float, nargs="+", default=[0.05, 0.01, 0.001], help="signal-to-noise ratios")
    p.add_argument("--segments", type=int, default=20, help="number of segments to allow (20)")
    p.add_argument("--stack-images", type=int, default=10_000, help="images to learn from (10000)")
    p.add_argument("--images", type=int, default=2000, help="images to ask about both ways, 1000 or more (2000)")
    p.add_argument("--rounds", type=int, default=2, help="how often (2)")
    p.add_argument("--epochs", type=int, help="setting epochs of `fit`")
    run_options(p, "posterior.json")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    for snr in a.snr:
        stack = make_stack(a.stack, snr, a.stack_images, 0, 1, a.cache)
        for seed in a.seeds:
            settings = dict(n_segments=a.segments) | ({} if a.epochs is None else dict(epochs=a.epochs)) | dict(a.set)
            with nullcontext(a.keep) if a.keep else TemporaryDirectory() as folder:
                out = Path(folder)/"_".join(map(str, (a.stack, snr, a.stack_images, seed,
                                                      *(f"{k}={v}" for k, v in settings.items()))))
                run = train_fully(stack.particles, stack.nominal, out, resume=out.is_dir(),
                                  **STACKS[a.stack].settings | settings | dict(seed=seed))
                about = dict(stack=a.stack, snr=snr, seed=seed, data_seed=1, subset="trained on", settings=settings,
                             stack_images=a.stack_images)
                rows = [about | dict(method=r["way"]) | r for r in ask(run, stack, a.images, a.rounds)]
            store(a.out, pd.DataFrame(rows), facts())
            for r in rows:
                print(f"SNR {snr:g}, seed {seed}, {r['way']}: {r['ms']:.2f} ms an image"
                      + (f", {r['ms_all']:.2f} of all {a.stack_images}" if r["ms_all"] else "")
                      + f"; r {r['r']:.4f}, RMSD {r['rmsd']:.3f} Å, inside the 90 % interval {r['coverage']:.3f}",
                      flush=True)

if __name__ == "__main__": main()
