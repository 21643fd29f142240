"""What does a GPU make of this package? One command of a few minutes: does everything run there, and how fast.

    python benchmarks/gpu.py                               # all parts, about 8 minutes
    python benchmarks/gpu.py walk step                     # some
    python benchmarks/gpu.py --device cpu --small          # rehearse it without a GPU, on small stacks

- `walk`: every encoder, precision, likelihood and decoder for one epoch, and what comes after a run (posterior,
  features, evidence, consensus, debiasing, resume); how far loss and posterior on the GPU are from those on the CPU;
  how often a training step waits for the GPU.
- `step`: a training step against the floor of the same card (B = 128, R = 1331, M = 20, D = 128), as in peers.py;
  cryoSPHERE 0.6.1 too, where its environment is installed.
- `rates`: images per second of a training step and of the posterior for several batches and two precisions.
- `kinase`: adenylate kinase, 10 000 images, SNR 0.05, defaults: minutes, r, RMSD.
- `many`: 100 000 images of 128 pixels, one epoch and all posteriors.

Results go to results/gpu.json, part by part, with the card's name."""
import argparse, statistics, sys, tempfile, time, traceback, warnings
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

import cryosphere_nb.train as train
from cryosphere_nb.benchmarks import OPTICS, STACKS, make_stack, mark
from cryosphere_nb.core import generator, read_json, write_json
from cryosphere_nb.debiasing import debias
from cryosphere_nb.learner import Callback
from cryosphere_nb.maps import consensus
from cryosphere_nb.metrics import recovery_report
from cryosphere_nb.missed import missed_motion
from cryosphere_nb.model import draw_noise
from cryosphere_nb.stacks import Stack
from cryosphere_nb.posterior import draw_candidates, infer_posterior
from cryosphere_nb.synthetic import simulate
from cryosphere_nb.train import fit
from cryosphere_nb.validation import log_evidence

from measure import now, time_calls
from recovery import RESULTS, facts, plain
import peers

VARIANTS = dict(
    defaults={}, pixels=dict(encoder="mlp"), table=dict(encoder="table"),
    bf16=dict(precision="bf16"), fp16=dict(precision="fp16"), sampled=dict(candidates=8),
    correlation=dict(likelihood="correlation"), beads=dict(points="beads"),
    residues=dict(decoder="residue", elastic_weight=1.), masked=dict(mask_radius_a=45.), atoms=dict(points="atoms"),
    per_image=dict(per_image_segments=True), encoder_only=dict(refine=0))

def where(e:BaseException) -> str: # error, and the innermost line of ours
    "An error in one line."
    own = [f for f in traceback.extract_tb(e.__traceback__) if "cryosphere_nb" in f.filename]
    place = f" at {Path(own[-1].filename).name}:{own[-1].lineno} ({own[-1].name})" if own else ""
    return f"{type(e).__name__}: {str(e).strip().splitlines()[0] if str(e).strip() else ''}{place}"

def tried(work, device): # function without arguments
    "Seconds and result, or why there is none."
    started = now(device)
    try: result = work()
    except Exception as e: return dict(error=where(e)), None
    return dict(seconds=now(device) - started), result

class Waits(Callback):
    "Where a training step waits for the GPU: counted over some steps after which no numbers are read."
    order = 1000
    def __init__(self, first=9, steps=5): self.first, self.steps, self.seen = first, steps, 0 # losses: after 8 and 16
    def before_batch(self, learner):
        self.seen += 1
        if self.seen == self.first: torch.cuda.set_sync_debug_mode("warn")
        if self.seen == self.first + self.steps: torch.cuda.set_sync_debug_mode("default")
    def after_fit(self, learner): torch.cuda.set_sync_debug_mode("default")

def count_waits(stack, folder) -> dict: # place -> number in each step
    "Waits for the GPU in a step of the default settings, by the line that waits."
    waits = Waits()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(stack.particles, stack.nominal, folder, progress=False, epochs=1, batch_size=16, n_segments=5, refine=0,
            held_out=0., border_rounds=0, callbacks=[waits])
    places = Counter(f"{Path(w.filename).name}:{w.lineno}" for w in caught if "synchroniz" in str(w.message))
    return {place: n/waits.steps for place, n in places.most_common()}

def batch_of(run, particles, n): # finished run
    "The first images as the run's model wants them."
    return run.prepare(particles.select(range(n)), progress=False).batch(torch.arange(n))

def on_both(run, stack, device) -> dict: # largest differences, as a share of the largest value
    "Loss, gradient and posterior of the same model and noise on both devices."
    batch, model, answers = batch_of(run, stack.particles, 32), run.model, {}
    noise, candidates = (draw_noise(32, model.n_latent, model.segmentation.n_segments, generator(1)),
                         draw_candidates(32, model.n_latent, generator(2)))
    for d in ("cpu", device):
        model.to(d).eval().zero_grad()
        loss, _ = model(batch.to(d), noise.to(d), run.config.loss_weights.at(1.))
        loss.backward()
        found = infer_posterior(model, batch.to(d), model.encoder(batch.to(d))[0], candidates.to(d), generator(3), 32)
        answers[d] = dict(
            loss=loss.detach()[None],
            gradient=torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]),
            posterior_mean=found.mean, posterior_cov=found.cov)
        answers[d] = {k: v.detach().cpu().double() for k, v in answers[d].items()}
    model.to("cpu")
    return {k: float((answers[device][k] - v).abs().max()/v.abs().max()) for k, v in answers["cpu"].items()}

def walk(args, folder) -> dict:
    "Does everything run on the device?"
    stack, d = make_stack("two_body_small", 0.1, 300, 20, device=args.device), args.device
    common = dict(n_segments=5, epochs=1, batch_size=64, cpu=d == "cpu", progress=False)
    said, runs = {}, {}
    for name, settings in VARIANTS.items():
        said[name], runs[name] = tried(lambda: fit(stack.particles, stack.nominal, folder/name, **common | settings), d)
        print(f"walk, {name}: {said[name]}", flush=True)
    run = runs["defaults"]
    if run is None: return said
    some = stack.particles.select(range(200))
    after = dict(
        infer=lambda: run.infer(stack.unseen),
        evidence=lambda: log_evidence(run, run.prepare(stack.unseen, progress=False)),
        sample=lambda: run.sample_structures(range(3), 5),
        missed=lambda: missed_motion(run, stack.particles),
        consensus=lambda: consensus(some, device=d),
        debias=lambda: debias(run, stack.particles, device=d),
        resume=lambda: fit(stack.particles, stack.nominal, folder/"defaults", resume=True, **common | dict(epochs=2)))
    for name, work in after.items():
        said[name], _ = tried(work, d)
        print(f"walk, {name}: {said[name]}", flush=True)
    said["on both devices"], differences = tried(lambda: on_both(run, stack, d), d)
    if differences: said["on both devices"] = differences
    print(f"walk, GPU against CPU, largest difference: {said['on both devices']}", flush=True)
    if d != "cpu":
        said["waits in a step"], found = tried(lambda: count_waits(stack, folder/"waits"), d)
        if found is not None: said["waits in a step"] = found
        print(f"walk, waits in a step: {said['waits in a step']}", flush=True)
    return said

def step(args, folder) -> dict:
    "A training step against the floor."
    size = dict(residues=100 if args.small else 1331, segments=5 if args.small else 20,
                box=32 if args.small else 128, pixel_size=2., seed=0, warmup=3)
    methods = [m for m in peers.STEPS if not m.startswith("cryosphere") or (peers.ENVS/"cryosphere").exists()]
    batch, answers = 16 if args.small else 128, {m: [] for m in methods}
    peers.drive("ours", folder, args.threads, action="step_data", images=max(100, batch), **size)
    for k in range(2):
        for m in methods if k == 0 else methods[::-1]:
            driver, job = peers.STEPS[m]
            extra = (dict(steps=20, settings={}, projection="auto") if driver == "ours"
                     else dict(steps=10, images=max(100, batch), lr=3e-4))
            answers[m].append(peers.attempt(driver, folder, args.threads, args.device,
                                            batch=batch, **size, **extra, **job))
    summary = peers.summarise_steps(answers)
    peers.print_steps(batch, summary)
    return dict(batch=batch) | summary

def rates(args, folder) -> dict:
    "Images per second, training and posterior."
    D, n = (32, 100) if args.small else (128, 1024)
    sim = arm_images(D, n, args.device)
    out = []
    for precision in ("no", "bf16"):
        settings = dict(n_segments=20, cpu=args.device == "cpu", precision=precision, held_out=0., border_rounds=0,
                        epochs=1, refine=0, check=False, contrast="light")
        run = fit(sim[0], sim[1], folder/f"rates_{precision}", progress=False, batch_size=128, **settings)
        data = run.prepare(sim[0], progress=False)
        for B in (16, 32) if args.small else (128, 512):
            model, b = run.model.to(args.device).train(), data.batch(torch.arange(B)).to(args.device)
            optimizer, gen = torch.optim.Adam(model.parameters(), 0.), generator(0)
            def one():
                with torch.autocast(args.device, torch.bfloat16, enabled=precision == "bf16"):
                    loss, _ = model(
                        b, draw_noise(B, model.n_latent, model.segmentation.n_segments, gen).to(args.device),
                        run.config.loss_weights.at(1.))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            seconds = statistics.median(time_calls(one, 3, 10, args.device))
            out.append(dict(what="training step", precision=precision, batch=B, images_per_second=B/seconds))
            if precision == "no":
                model.eval()
                candidates = draw_candidates(64, model.n_latent, gen).to(args.device)
                with torch.no_grad():
                    seconds = statistics.median(time_calls(
                        lambda: infer_posterior(model, b, model.encoder(b)[0], candidates, gen, 64),
                        1, 3, args.device))
                out.append(dict(what="posterior", precision=precision, batch=B, images_per_second=B/seconds))
        if precision == "no" and args.device != "cpu": print_profile(one, folder)
        run.model.to("cpu")
    for row in out: print(f"rates: {row}", flush=True)
    return dict(rows=out, box=D, residues=sim[1].n_beads)

def print_profile(one, folder):
    "Print what the GPU does in a step."
    from torch.profiler import ProfilerActivity, profile
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as p:
        for _ in range(3): one()
        torch.cuda.synchronize()
    print(p.key_averages().table(sort_by="self_cuda_time_total", row_limit=25, max_name_column_width=60), flush=True)
    print(p.key_averages().table(sort_by="self_cpu_time_total", row_limit=12, max_name_column_width=60), flush=True)

def arm_images(D, n, device): # -> particles, structure, true beads of the movie, frame of each image
    "The swinging arm, as beads, rendered on the device."
    structure, frames, weights = STACKS["swinging_arm"].movie()
    states = torch.multinomial(weights, n, replacement=True, generator=generator(1))
    sim = simulate(structure, frames, n, D, 256/D, float("inf"), 0, OPTICS, 10., states=states, scattering="beads")
    clean = sim.clean(chunk=64, device=device)
    gen, std = torch.Generator(device).manual_seed(0), float(clean[:500].var(dim=(-2, -1)).mean()/0.05)**0.5
    for i in torch.arange(n).split(5000):
        clean[i] += std*torch.randn(len(i), D, D, generator=gen, device=device).cpu()
    particles = replace(sim.particles, stacks=(Stack("arm.mrcs", n, D, array=clean.numpy()),))
    return particles, structure, frames[:, structure.bead_atom], states

@contextmanager
def timed_phases(device): # changes what `fit` calls, while the block lasts
    "Seconds of preparation, features and posterior within `fit`."
    found, kept = Counter(), {name: getattr(train, name) for name in (
        "preflight", "prepare", "prepare_model", "infer_together", "final_model", "finish")}
    def timed(name, function):
        def call(*args, **kwargs):
            started = now(device)
            try: return function(*args, **kwargs)
            finally: found[name] += now(device) - started
        return call
    for name, function in kept.items(): setattr(train, name, timed(name, function))
    try: yield found
    finally:
        for name, function in kept.items(): setattr(train, name, function)

def whole(particles, structure, folder, device, **settings) -> tuple: # `Run`, row
    "A run, with the time of its phases."
    if device != "cpu": torch.cuda.reset_peak_memory_stats()
    started = now(device)
    with timed_phases(device) as phases:
        run = fit(particles, structure, folder, progress=False, cpu=device == "cpu", **settings)
    seconds = now(device) - started
    visits = run.state.epoch*(len(run) - len(run.apart)) + run.state.position
    row = dict(seconds=seconds, train_seconds=run.state.elapsed, epochs=run.state.epoch,
               batch_size=run.config.batch_size, images_per_second=visits/run.state.elapsed,
               posterior_images_per_second=len(run)/phases["infer_together"], phases=dict(phases))
    return run, row | (dict(gpu_gb=torch.cuda.max_memory_allocated()/1e9) if device != "cpu" else {})

def kinase(args, folder) -> dict:
    "Adenylate kinase with default settings."
    started = now(args.device)
    stack = (make_stack("two_body_small", 0.05, 300, 20) if args.small
             else make_stack("adenylate_kinase", 0.05, 10_000, 100, device=args.device))
    print(f"kinase: images made in {now(args.device) - started:.0f} s", flush=True)
    run, row = whole(stack.particles, stack.nominal, folder/"kinase", args.device, n_segments=20,
                     **dict(epochs=2) if args.small else {})
    row |= (mark(stack, run.coordinates(), stack.states, run.segments)
            | dict(domains=len(run.domains.labels.unique()) if run.domains else None))
    print(f"kinase: {row}", flush=True)
    return row

def many(args, folder) -> dict:
    "Many images, once through."
    n, D = (400, 32) if args.small else (args.images, 128)
    started = now(args.device)
    particles, structure, movie, states = arm_images(D, n, args.device)
    print(f"many: images made in {now(args.device) - started:.0f} s", flush=True)
    run, row = whole(particles, structure, folder/"many", args.device, n_segments=20, epochs=1,
                     **dict(batch_size=32) if args.small else {})
    some = torch.linspace(0, n - 1, min(n, 2000)).long()
    row |= (dict(images=n, box=D, residues=structure.n_beads)
            | recovery_report(run.decode(run.latents[some]), movie[states[some]], structure.beads).to_dict())
    print(f"many: {row}", flush=True)
    return row

PARTS = dict(walk=walk, step=step, rates=rates, kinase=kinase, many=many)

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("parts", nargs="*", metavar="part", help="parts to run (all): " + ", ".join(PARTS))
    p.add_argument("--device", default="cuda", choices=("cuda", "cpu"), help="where (cuda)")
    p.add_argument("--small", action="store_true", help="small stacks, to rehearse")
    p.add_argument("--images", type=int, default=100_000, help="of the part `many` (100000)")
    p.add_argument("--out", type=Path, default=RESULTS/"gpu.json", help="file for the results (results/gpu.json)")
    args = p.parse_args()
    if unknown := set(args.parts) - set(PARTS):
        p.error(f"no part {', '.join(sorted(unknown))}; parts are {', '.join(PARTS)}")
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("No GPU is seen by PyTorch. Rehearse with --device cpu --small.")
    args.threads = torch.get_num_threads()
    card = torch.cuda.get_device_name() if args.device == "cuda" else "no GPU"
    for name in args.parts or PARTS:
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            try: found = PARTS[name](args, Path(folder))
            except Exception as e:
                traceback.print_exc()
                found = dict(error=where(e))
        old = read_json(args.out) if args.out.is_file() else {}
        write_json(args.out, old | {
            name: facts() | dict(card=card, minutes=round((time.perf_counter() - started)/60, 2)) | plain(found)})
        print(f"-- {name}: {time.perf_counter() - started:.0f} s\n", flush=True)

if __name__ == "__main__": main()
