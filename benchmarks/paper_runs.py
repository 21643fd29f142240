"""The runs that the notebooks of nbs/paper share: adenylate kinase at three noise levels, several numbers of segments,
residues that move one by one, cryoDRGN 4.3, and what the oracle says.

    python benchmarks/paper_runs.py                  # all of them; one thread, minutes each
    python benchmarks/paper_runs.py snr001 segm5     # some
    python benchmarks/paper_runs.py cryodrgn001      # cryoDRGN on the images of snr001; installs it in an environment
                                                       of its own, see peers.py

Stacks are those of chapter 90 (`cryosphere_nb.benchmarks`). Runs, clean images and the oracle's posteriors are kept in
a cache folder (XDG_CACHE_HOME, or ~/.cache, /cryosphere_nb) and found there by the notebooks, which make what is
missing."""
import argparse, datetime, os, subprocess, sys, tempfile, time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np, pandas as pd, torch

import peers
from cryosphere_nb.benchmarks import METHODS, frame_posterior, make_stack, train_fully
from cryosphere_nb.core import fft2c, fourier_crop, ifft2c, read_json, write_json
from cryosphere_nb.maps import Map, consensus, fsc, read_map, soft_mask, structure_map, write_map
from cryosphere_nb.particles import make_particles
from cryosphere_nb.relion import write_particles
from cryosphere_nb.train import Run

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home()/".cache"))/"cryosphere_nb"
BASE = dict(snr=0.01, images=4000, n_segments=20, epochs=10, seed=0)
RUNS = dict(
    snr1=dict(snr=0.1), snr01=dict(),
    snr001=dict(snr=0.001, images=8000, epochs=12, check=False, contrast="light"),
    segm5=dict(n_segments=5), segm40=dict(n_segments=40), paper_way=METHODS["paper"],
    # every residue moves on its own, as in cryoSTAR: the baseline of clashes
    residue=dict(decoder="residue", elastic_weight=3., stretch_a=None, epochs=20),
    # the same in ten times the noise: of the weights 10, 3, 1, 0.3, 0.1, 0.03 and 0.01 this one has the best held-out
    # loss
    residue001=dict(snr=0.001, images=8000, epochs=20, check=False, contrast="light", decoder="residue",
                    elastic_weight=0.03, stretch_a=None))
# on the images of these runs
PEER_RUNS = dict(cryodrgn01=dict(like="snr01", minutes=15., width=256, n_latent=8, box=60, seed=0),
                 cryodrgn001=dict(like="snr001", minutes=15., width=256, n_latent=8, box=60, seed=0))
# images whose volumes are compared: every run was trained on them
CHOSEN = torch.linspace(0, BASE["images"] - 1, 100).long()
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
    if (folder/"facts.json").is_file() and (facts := read_json(folder/"facts.json"))["settings"] == wanted:
        return Run.load(folder), facts
    about = dict(wanted)
    snr, images = about.pop("snr"), about.pop("images")
    stack, start = paper_stack(snr), time.perf_counter()
    run = train_fully(stack.particles.select(range(images)), stack.nominal, folder, overwrite=True, **about)
    facts = dict(settings=wanted, minutes=(time.perf_counter() - start)/60, training_minutes=run.state.elapsed/60,
                 date=datetime.date.today().isoformat(), threads=torch.get_num_threads(), report=run.report)
    write_json(folder/"facts.json", facts)
    return run, facts

def true_maps(stack, D:int, a:float): # grid, voxels and Å
    "({state: its true volume} for the chosen images, a soft mask round their mean)."
    maps = {s: structure_map(replace(stack.nominal, xyz=stack.simulation.frames[s]), D, a)
            for s in stack.states[CHOSEN].unique().tolist()}
    return maps, soft_mask(Map(torch.stack([maps[s].values for s in stack.states[CHOSEN].tolist()]).mean(0), a))

def cropped(particles, box:int): # pixels
    "The same particles, Fourier-cropped, in memory."
    D, a = int(particles.box[0]), float(particles.pixel_size[0])
    images = torch.cat([ifft2c(fourier_crop(fft2c(particles.images(i.numpy())), D, box), box)
                        for i in torch.arange(len(particles)).split(1000)])
    return make_particles(images, particles.R, particles.shift, particles.ctf, a*D/box, "particles.mrcs")

def paper_cryodrgn(name:str): # of `PEER_RUNS`
    """(FSC values (2, 100, K) of the volumes of the chosen images with their true ones, without and with the mask,
    facts): from the cache, or by cryoDRGN now; None if it can neither be found nor run."""
    folder, wanted = CACHE/"paper"/name, PEER_RUNS[name]
    if (folder/"facts.json").is_file() and (facts := read_json(folder/"facts.json"))["settings"] == wanted:
        return torch.from_numpy(np.load(folder/"fsc.npy")), facts
    try: return train_cryodrgn(folder, wanted)
    except (RuntimeError, OSError, subprocess.CalledProcessError) as e:
        print(f"cryoDRGN could not be installed or run, so there is no curve of it ({type(e).__name__}); "
              f"`python benchmarks/paper_runs.py {name}` says more")
        if __name__ == "__main__": raise

def train_cryodrgn(folder:Path, # of the cache
                   wanted:dict): # of `PEER_RUNS`
    "Write the images, let cryoDRGN's own commands train and decode, compare with the true volumes."
    peers.install("cryodrgn")
    about, side = settings(wanted["like"]), wanted["box"]
    stack = paper_stack(about["snr"])
    particles = cropped(stack.particles.select(range(about["images"])), side)
    a = float(particles.pixel_size[0])
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        write_particles(particles, work/"particles.star")
        answer = peers.drive("cryodrgn", work, torch.get_num_threads(), arrays=str(work/"latents.npz"),
                             rows=CHOSEN.tolist(), pixel_size=a,
                             **{k: wanted[k] for k in ("minutes", "width", "n_latent", "seed")})
        volumes = [Map(read_map(file).values, a) for file in sorted((work/"volumes").glob("*.mrc"))]
        z = np.load(work/"latents.npz")["z"]
    maps, mask = true_maps(stack, side, a)
    curves = torch.stack([torch.stack([fsc(v, maps[s], m).values
                                       for v, s in zip(volumes, stack.states[CHOSEN].tolist(), strict=True)])
                          for m in (None, mask)])
    mean, whole = Map(torch.stack([v.values for v in volumes]).mean(0), a), consensus(particles).map
    agree = lambda m: float(fsc(m, whole, mask).auc) # area of the FSC with the consensus map of the same images
    facts = dict(settings=wanted, box=side, pixel_size=a, training_minutes=answer["train_seconds"]/60,
                 other_minutes=answer["other_seconds"]/60, epochs=answer["images"]/len(particles),
                 version=answer["version"], date=datetime.date.today().isoformat(), threads=torch.get_num_threads(),
                 with_consensus=agree(mean),
                 turned_with_consensus={name: agree(Map(mean.values.flip(axes), a))
                                        for name, axes in dict(mirror=(0,), half_turn=(0, 1)).items()})
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder/"fsc.npy", curves.numpy())
    np.save(folder/"latents.npy", z)
    write_map(mean, folder/"mean.mrc", overwrite=True)
    write_json(folder/"facts.json", facts)
    return curves, facts

def paper_and_here(
        # (what, in the paper, here), with a fourth entry where something was scaled down: what, and why
        rows:list,
        name:str): # of the notebook; the table's ids begin with it
    "The table that ends each notebook."
    table = pd.DataFrame([(*row, "")[:4] for row in rows], columns=["", "paper", "here", "scaled down, and why"])
    return table.style.hide(axis="index").set_properties(**{"text-align": "left"}).set_uuid(name)

def paper_oracle():
    "Probability of every frame of the movie for the first images kept apart, at each SNR: (3, n, F), and their rows."
    file, rows = CACHE/"paper"/"oracle.npy", list(range(10_000, 10_000 + ORACLE_IMAGES))
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, frame_posterior([make_stack("adenylate_kinase", snr, folder=CACHE) for snr in ORACLE_SNR],
                                      rows).numpy())
    return torch.from_numpy(np.load(file)), rows

if __name__ == "__main__":
    KNOWN = [*RUNS, "oracle", *PEER_RUNS]
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("names", nargs="*", help=f"of {', '.join(KNOWN)}; all by default")
    p.add_argument("--threads", type=int, default=1)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    if unknown := set(a.names) - {*KNOWN}:
        sys.exit(f"unknown: {', '.join(unknown)}; known are {', '.join(KNOWN)}")
    for name in a.names or KNOWN:
        print(name,
              paper_oracle()[0].shape if name == "oracle"
              else (paper_cryodrgn if name in PEER_RUNS else paper_run)(name),
              flush=True)
