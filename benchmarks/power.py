"""How many images are needed? What `power` foretells from one run, beside what runs on fewer and more images find.

    python benchmarks/power.py found --images 1250 2500 5000 10000 --cache FOLDER --keep RUNS
    python benchmarks/power.py again --start 2500 --images 625 2500 --cache FOLDER --keep RUNS
    python benchmarks/power.py best --start 2500 --cache FOLDER --keep RUNS

Adenylate kinase at SNR 0.01 by default, the first images of one stack. `found` trains on so many and marks the runs by
the truth. The others do what `power` does, one stack a time, with the run on `--start` images, and see no truth:
`again` learns stacks that it imagines, `best` asks what its own decoder sees in one. Rows are added to
results/power.json, and `learning_curve` makes the forecast of them. Use one process at a time on a machine that does
nothing else, if minutes are to mean something."""
import argparse, tempfile, time
from pathlib import Path

import torch
from recovery import RESULTS, facts, plain, setting

from cryosphere_nb.benchmarks import STACKS, make_stack, mark, train_fully
from cryosphere_nb.core import read_json, write_json
from cryosphere_nb.power import ask_again, imagine, learn_again, main_motion_r, run_views
from cryosphere_nb.train import Run

SAME = ("kind", "stack", "snr", "seed", "images", "start", "settings") # what makes two rows the same measurement

def store(file:Path, **row):
    "Add a row to the file; an earlier row of the same measurement goes."
    key = lambda row: [row.get(k) for k in SAME]
    old, row = read_json(file)["rows"] if file.is_file() else [], facts() | {k: plain(v) for k, v in row.items()}
    write_json(file, dict(rows=[r for r in old if key(r) != key(row)] + [row]))
    print({k: v for k, v in row.items() if k not in facts()}, flush=True)

def a_run(stack, n:int, a) -> Run: # stack, images, options
    "The run on the first n images, from the folder of runs if it is there."
    name = ["run", f"{stack.snr:g}", str(n), str(a.seed), *(f"{k}={v}" for k, v in sorted(a.set))]
    folder = a.keep/"_".join(name + ([f"shown={a.shown}"] if a.shown else []))
    if not (folder/"latents.safetensors").exists():
        train_fully(stack.particles.select(range(n)), stack.nominal, folder, overwrite=folder.exists(), seed=a.seed,
                    **dict(n_segments=20) | dict(a.set) | (dict(epochs=max(1, a.shown//n)) if a.shown else {}))
    return Run.load(folder)

def parser() -> argparse.ArgumentParser:
    "All options."
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("kind", choices=["found", "again", "best"])
    p.add_argument("--stack", default="adenylate_kinase", choices=list(STACKS))
    p.add_argument("--snr", type=float, default=0.01, help="signal-to-noise ratio (0.01)")
    p.add_argument("--images", type=int, nargs="+", help="of runs, or of stacks that are learned again")
    p.add_argument("--total", type=int, default=10_000, help="images of the stack (10000)")
    p.add_argument("--start", type=int, default=2500, help="images of the run that is asked (2500)")
    p.add_argument("--asked", type=int, default=600, help="imagined images that its own decoder is asked about (600)")
    p.add_argument("--seed", type=int, default=0, help="of the training (0)")
    p.add_argument("--shown", type=int, help="images shown in a training, epochs times images (as `fit` likes)")
    p.add_argument("--set", type=setting, nargs="+", default=[], metavar="NAME=VALUE", help="more settings of `fit`")
    p.add_argument("--threads", type=int, default=1, help="threads (1)")
    p.add_argument("--cache", help="folder for clean images")
    p.add_argument("--keep", type=Path, required=True, help="folder of runs")
    p.add_argument("--out", type=Path, default=RESULTS/"power.json", help="results (results/power.json)")
    return p

def main():
    a = parser().parse_args()
    torch.set_num_threads(a.threads)
    stack = make_stack(a.stack, a.snr, a.total, 0, 1, a.cache)
    settings = dict(n_segments=20) | dict(a.set) | (dict(shown=a.shown) if a.shown else {})
    about = dict(kind=a.kind, stack=a.stack, snr=a.snr, seed=a.seed, settings=settings)
    clock = time.perf_counter
    if a.kind == "found":
        for n in a.images:
            started, run = clock(), a_run(stack, n, a)
            found = mark(stack, run.coordinates(), stack.states[:n], run.segments)
            store(a.out, **about, images=n, minutes=(clock() - started)/60, **found)
        return
    run, about = a_run(stack, a.start, a), about | dict(start=a.start)
    views = run_views(run)
    for n in [a.asked] if a.kind == "best" else a.images: # as in `power`
        started, imagined = clock(), imagine(run, views, n, seed=a.seed + (0 if a.kind == "best" else 1 + n))
        with tempfile.TemporaryDirectory() as folder:
            told = (ask_again(run, imagined)[0] if a.kind == "best" else learn_again(run, imagined, Path(folder)/"run"))
        r = main_motion_r(told.coordinates(), imagined.truth)
        store(a.out, **about, images=n, r=r, minutes=(clock() - started)/60)

if __name__ == "__main__": main()
