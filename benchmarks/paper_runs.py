"""The runs that the notebooks of nbs/paper share: adenylate kinase at three noise levels, several numbers of segments, and what the oracle says.

    python benchmarks/paper_runs.py                  # all of them; one thread, minutes each
    python benchmarks/paper_runs.py snr001 segm5     # some

Stacks are those of chapter 90 (`cryosphere_nb.benchmarks`). Runs, clean images and the oracle's posteriors are kept in a cache folder (XDG_CACHE_HOME, or ~/.cache, /cryosphere_nb) and found there by the notebooks, which make what is missing."""
import argparse, datetime, os, sys, time
from functools import lru_cache
from pathlib import Path

import numpy as np, torch

from cryosphere_nb.benchmarks import METHODS, frame_posterior, make_stack
from cryosphere_nb.core import read_json, write_json
from cryosphere_nb.train import Run, fit

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home()/".cache"))/"cryosphere_nb"
BASE = dict(snr=0.01, images=4000, n_segments=20, epochs=10, seed=0)
RUNS = dict(snr1=dict(snr=0.1), snr01=dict(), snr001=dict(snr=0.001, images=8000, epochs=12, check=False, contrast="light"),
            segm5=dict(n_segments=5), segm40=dict(n_segments=40), paper_way=METHODS["paper"],
            residue=dict(decoder="residue", elastic_weight=3., stretch_a=None, epochs=20)) # every residue moves on its own, as in cryoSTAR: the baseline of clashes
ORACLE_SNR, ORACLE_IMAGES = (0.1, 0.01, 0.001), 200

@lru_cache(maxsize=1)
def paper_stack(snr:float): # signal-to-noise ratio
    "10 000 images of the transition and 1000 kept apart; the same images but for their noise at every SNR."
    return make_stack("adenylate_kinase", snr, folder=CACHE)

def settings(name:str) -> dict: # of `RUNS`
    "SNR, number of images, and settings of `fit`."
    return BASE | RUNS[name]

def paper_run(name:str): # of `RUNS`
    "(run, facts): from the cache, or trained now."
    folder, wanted = CACHE/"paper"/name, settings(name)
    if (folder/"facts.json").is_file() and (facts := read_json(folder/"facts.json"))["settings"] == wanted: return Run.load(folder), facts
    about = dict(wanted); snr, images = about.pop("snr"), about.pop("images")
    stack, start = paper_stack(snr), time.perf_counter()
    run = fit(stack.particles.select(range(images)), stack.nominal, folder, overwrite=True, progress=False, **about)
    facts = dict(settings=wanted, minutes=(time.perf_counter() - start)/60, training_minutes=run.state.elapsed/60, date=datetime.date.today().isoformat(), threads=torch.get_num_threads(), report=run.report)
    write_json(folder/"facts.json", facts)
    return run, facts

def paper_oracle():
    "Probability of every frame of the movie for the first images kept apart, at each SNR: (3, n, F), and their rows."
    file, rows = CACHE/"paper"/"oracle.npy", list(range(10_000, 10_000 + ORACLE_IMAGES))
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, frame_posterior([make_stack("adenylate_kinase", snr, folder=CACHE) for snr in ORACLE_SNR], rows).numpy())
    return torch.from_numpy(np.load(file)), rows

if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("names", nargs="*", help=f"of {', '.join([*RUNS, 'oracle'])}; all by default")
    p.add_argument("--threads", type=int, default=1)
    a = p.parse_args(); torch.set_num_threads(a.threads)
    if unknown := set(a.names) - {*RUNS, "oracle"}: sys.exit(f"unknown: {', '.join(unknown)}; known are {', '.join([*RUNS, 'oracle'])}")
    for name in a.names or [*RUNS, "oracle"]:
        print(name, paper_oracle()[0].shape if name == "oracle" else paper_run(name), flush=True)
