"""A job of the shape of the paper's spliceosome (EMPIAR-10180): 327 490 images of 128 px, 13 941 residues. Does it fit
in memory, how fast is it, and did `plan` know?

    python benchmarks/scale.py --cache /folder/with/25GB
        # the whole data set prepared, a truncated epoch of training, some of the score and inference
    python benchmarks/scale.py --fraction 0.01 --steps 2 --batch 16
        # a quick look

Images are made when they are read (one of a few projections, and noise that depends on the row), prepared image by
image into a file in the cache folder, mapped from there, and trained on. Posteriors are found for images as a trained
model would see them (chapter 52), all compared with the same conformations. Written for Linux; elsewhere the memory of
mapped pages is not told apart."""
import argparse, shutil, sys, tempfile, time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np, pandas as pd, torch

from cryosphere_nb.core import generator, ifft2c, read_json, write_json
from cryosphere_nb.geometry import random_rotations
from cryosphere_nb.image import CTFParameters, render
from cryosphere_nb.particles import Particles, relion_tables
from cryosphere_nb.preparation import PrepareConfig, prepare
from cryosphere_nb.relion import write_star
from cryosphere_nb.stacks import Stack
from cryosphere_nb.learner import Subset, split_rows
from cryosphere_nb.plan import LOOK, as_if_trained, first, plan
from cryosphere_nb.building import all_features, make_model, prepare_model
from cryosphere_nb.inference import infer, shared_conformations
from cryosphere_nb.settings import make_config, settle
from cryosphere_nb.train import make_learner

from drive_ours import globule
from measure import peak_mb
from recovery import facts

@dataclass(frozen=True, eq=False)
class MadeWhenRead(Stack):
    "A stack that nobody stores: image i is projection i mod K plus noise that only i decides."
    projections:np.ndarray = field(default=None, repr=False) # (K, D, D), variance 1
    noise:float = 5. # standard deviation; 5 is a signal-to-noise ratio of 0.04

    def read(self, index): # (n,) -> (n, D, D) float32
        "The images with these numbers."
        images = np.empty((len(index), self.box, self.box), np.float32)
        for image, i in zip(images, np.asarray(index)):
            image[:] = (self.projections[i % len(self.projections)]
                        + self.noise*np.random.default_rng(int(i)).standard_normal((self.box, self.box), np.float32))
        return images

def make_data(n_images, structure, box, pixel_size, n_views=64, seed=0) -> Particles: # lazily read
    "Particles that show the structure in a few views."
    gen = generator(seed)
    R, spread = random_rotations(n_views, gen), torch.rand(n_views, generator=gen)
    ctf = CTFParameters(*(torch.full((n_views,), v) + s*spread for v, s in (
        (1e4, 1e4), (1e4, 1e4), (0., 0.), (3e5, 0.), (2.7e7, 0.), (0.1, 0.))))
    views = torch.cat([ifft2c(render(structure.beads.expand(len(i), -1, -1), structure.electrons, R[i], ctf[i], box,
                                     pixel_size), box)
                       for i in torch.arange(n_views).split(8)])
    views = (views - views.mean((-2, -1), keepdim=True))/views.std((-2, -1), keepdim=True)
    # the file stands in for the stack's: only its date is asked for
    stack = MadeWhenRead(__file__, n_images, box, projections=views.numpy())
    view = torch.arange(n_images) % n_views
    p = Particles(pd.DataFrame(index=range(n_images)), R[view], torch.zeros(n_images, 2), ctf[view],
                  torch.full((n_images,), float(pixel_size)), torch.ones(n_images),
                  (stack,), np.zeros(n_images, int), np.arange(n_images), kind="memory")
    optics, table = relion_tables(p, ["made_when_read.mrcs"]*n_images)
    return replace(p, table=table, blocks={"optics": optics})

def peak_gb() -> float: # of this process so far
    "The largest resident memory, mapped pages included."
    return peak_mb()*2**20/1e9

def resident_gb() -> dict: # anonymous and mapped pages, now
    "What the resident memory is made of."
    status = Path("/proc/self/status")
    lines = dict(l.split(":") for l in status.read_text().splitlines()) if status.exists() else {}
    return {k: int(lines[f"Rss{k}"].split()[0])*1024/1e9 for k in ("Anon", "File") if f"Rss{k}" in lines}

class Watch:
    "Prints and keeps seconds and peak memory of each phase."
    def __init__(self): self.rows = []
    def __call__(self, phase, images, work):
        started = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - started
        self.rows.append(dict(phase=phase, images=images, seconds=seconds, images_per_s=images/seconds,
                              peak_gb=peak_gb(), **resident_gb()))
        print(f"{phase}: {images} images in {seconds:.1f} s, {images/seconds:.0f} a second; "
              f"peak memory so far {peak_gb():.2f} GB", flush=True)
        return result
    def seconds(self, phase): return next(r["seconds"]/r["images"] for r in self.rows if r["phase"] == phase)

def train_steps(learner, steps): # a truncated epoch
    "Random batches, as in an epoch, evenly from its coarse beginning to its end."
    order, n = torch.randperm(len(learner.data), generator=generator(0)), len(learner.data)
    for k in range(steps):
        learner.state.position = int((k + 0.5)/steps*n)
        learner.one_batch(order[torch.arange(k*learner.batch_size, (k + 1)*learner.batch_size) % n])

def borrow_features(data, features): # all N rows have some, so that memory is that of a run
    "The features of a few images, for all."
    return replace(data, features=features[torch.arange(len(data)) % len(features)])

def compare(forecast, watch, n) -> pd.DataFrame: # minutes for all n images
    "Forecast beside what the measured phases come to."
    minutes, measured = forecast.phases.minutes, [n*watch.seconds(p)/60 for p in ("prepare", "score", "train", "infer")]
    measured[-1] += watch.seconds("make conformations")/60
    return pd.DataFrame(
        {"forecast, min": [minutes["prepare"], minutes["score"], forecast.epoch_minutes, minutes["infer"]],
         "measured, min": measured},
        index=["prepare", "score", "one epoch", "infer"])

def store(file, a, n, watch, table, forecast): # into results/scale.json, for the page of results
    "Keep what was measured; curves that are there already stay."
    old = read_json(file) if file.is_file() else {}
    job = [dict(phase=r["phase"], images=r["images"], seconds=round(r["seconds"], 1),
                images_per_s=round(r["images_per_s"], 1), peak_gb=round(r["peak_gb"], 2))
           for r in watch.rows]
    write_json(file, old | dict(
        facts(), threads=a.threads,
        settings=dict(images=n, residues=a.residues, box=a.box, segments=a.segments, batch=a.batch, steps=a.steps),
        job=job,
        minutes={phase: {k: round(v, 2) for k, v in row.items()} for phase, row in table.to_dict("index").items()},
        peak_gb=dict(forecast=round(forecast.peak_gb, 2), found=round(peak_gb(), 2))))

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default, text in (
            ("images", 327_490, "images of the data set"), ("residues", 13_941, "residues of the model"),
            ("box", 128, "pixels"), ("segments", 20, "segments"), ("batch", 128, "images of a step"),
            ("steps", 20, "steps of the truncated epoch"), ("some", LOOK, "images of score and inference"),
            ("threads", 2, "threads")):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{text} ({default})")
    parser.add_argument("--fraction", type=float, default=1., help="use this part of the images (1)")
    parser.add_argument("--pixel", type=float, default=4.25, help="Å (4.25)")
    parser.add_argument("--memory-gb", type=float, default=4.,
                        help="budget for prepared images; beyond it they are mapped from disk (4)")
    parser.add_argument("--limit-gb", type=float, default=24., help="peak memory that may not be exceeded (24)")
    parser.add_argument("--half", action="store_true", help="keep prepared images in float16: half the disk")
    parser.add_argument("--cache", help="folder for the prepared images; a temporary one by default")
    parser.add_argument("--keep", action="store_true", help="leave the file of prepared images there")
    parser.add_argument("--out", type=Path,
                        help="file to keep the results in, for example benchmarks/results/scale.json")
    parser.add_argument("--gpu", action="store_true", help="train on the GPU if there is one")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    n = max(a.batch, round(a.fraction*a.images))
    watch = Watch()
    structure = globule(a.residues)
    particles = watch("make the table", n, lambda: make_data(n, structure, a.box, a.pixel))
    settings = dict(n_segments=a.segments, batch_size=a.batch, box=a.box, epochs=1, contrast="light",
                    memory_gb=a.memory_gb, cpu=not a.gpu)
    forecast = plan(particles, structure, steps=1, **settings)
    print(forecast, flush=True)
    config = settle(make_config(settings), particles, None)
    folder = Path(a.cache or tempfile.mkdtemp())
    ours = set() if not folder.exists() else set(folder.iterdir())
    try:
        data = watch("prepare", n, lambda: prepare(particles, PrepareConfig(a.box, half=a.half), folder, a.memory_gb))
        print(data, *(f"{f.name}: {f.stat().st_size/1e9:.2f} GB" for f in sorted(folder.glob("*.raw"))))
        with tempfile.TemporaryDirectory() as out:
            trained, apart = split_rows(n, config.held_out_share, config.seed)
            net, some = make_model(structure, config, len(trained) if config.amortised else n, data.D), min(n, a.some)
            data = borrow_features(data, prepare_model(net, first(data, min(n, 8))).features)
            watch("score", some, lambda: all_features(net, first(data, some)))
            learner = make_learner(net, Subset(data, trained), Subset(data, apart), config, out, False, ())
            learner.call("before_fit")
            learner.model.train()
            train_steps(learner, 1) # the first step of anything is slow
            watch("train", a.steps*learner.batch_size, lambda: train_steps(learner, a.steps))
            shown = as_if_trained(net.eval(), data, some)
            shared = watch("make conformations", 1,
                           lambda: shared_conformations(net, shown, config.posterior.refine, generator(0)))
            watch("infer", some, lambda: infer(net, shown, some, config, shared=shared))
            watch("write the star file", n,
                  lambda: write_star(particles, Path(out)/"particles.star",
                                     dict(cryosphereLatent=torch.zeros(n, config.n_latent))))
        print(pd.DataFrame(watch.rows).to_string(index=False, float_format="{:.3g}".format))
        table = compare(forecast, watch, n)
        print(table.to_string(float_format="{:.3g}".format))
        print(f"peak memory: forecast {forecast.peak_gb:.2f} GB, found {peak_gb():.2f} GB, limit {a.limit_gb:g} GB")
        if a.out: store(a.out, a, n, watch, table, forecast)
    finally:
        if not a.keep:
            for f in set(folder.glob("prepared-*")) - ours: f.unlink()
            if not a.cache: shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0 if peak_gb() < a.limit_gb else f"more than {a.limit_gb:g} GB")

if __name__ == "__main__": main()
