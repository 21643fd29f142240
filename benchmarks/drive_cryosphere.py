"""Jobs for the released cryosphere 0.6.1: its own training loop and analysis functions, called on a CPU or one GPU.

Runs in that package's environment; called by peers.py."""
import importlib.util, sys, types
from pathlib import Path

import numpy as np, torch, yaml

def stand_in_for_torchvision():
    """A torchvision without functions where there is none: cryosphere imports it for resizing images, and ours are not
    resized."""
    if importlib.util.find_spec("torchvision") is None:
        names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
        modules = [types.ModuleType(name) for name in names]
        modules[0].transforms, modules[1].functional = modules[1:]
        sys.modules.update(zip(names, modules))

stand_in_for_torchvision()
from cryosphere import cryosphere_train
from cryosphere.data import analyze
from cryosphere.model import renderer, utils

from measure import memory, now, peak_mb, read_job, version, write_result

def settings(job) -> dict: # for its parameter file
    """Its published parameter file, with the data, the number of segments, the clash loss and the learning rate of
    this job."""
    schedule = lambda kind, **values: dict(schedule=kind, **values)
    return dict(
        name="benchmark", wandb=False, wandb_project="none",
        folder_path=job["folder"], base_structure_path="model.pdb", image_yaml="image.yaml",
        particles_path=job["folder"], cs_star_file=dict(file=str(Path(job["folder"])/"particles.star")),
        segmentation_config=dict(part1=dict(all_protein=True, N_segm=job["segments"])),
        input_mask_radius=1, latent_dimension=8, tau_segmentation=0.05,
        device="cpu" if job["device"] == "cpu" else "GPU", num_workers=0, amortized=True,
        N_images=job["images"], N_epochs=300, batch_size=job["batch"], epsilon_kl="1e-10",
        seed=job["seed"] or 1, deterministic_cuda=False,
        encoder=dict(hidden_dimensions=[512, 256, 64, 64]), decoder=dict(hidden_dimensions=[512, 512]),
        optimizer=dict(name="adam", learning_rate=job["lr"], learning_rate_segmentation=10*job["lr"]),
        loss=dict(
            clashing_loss=schedule("constant", beta=0.1, full_clashing_loss=job["full_clash"], clashing_cutoff=4,
                                   min_clashing_cutoff_pairs=4, max_clashing_cutoff_pairs=10),
            continuity_loss=schedule("constant", beta=0.1), KL_prior_latent=schedule("linear"),
            KL_prior_segmentation_mean=schedule("linear"), KL_prior_segmentation_std=schedule("linear"),
            KL_prior_segmentation_proportions=schedule("cyclical", M=5, R=0.5),
            l2_pen=schedule("constant", beta=1e-6)),
        resume_training=dict(model=None, segmentation=None))

FIELDS = ("vae", "translator", "ctf", "grid", "gmm", "optimizer", "dataset", "n_epochs", "batch_size", "settings",
          "device", "scheduler", "base", "low_pass", "mask", "amortized", "results", "restraints", "segmenter")

def build(job) -> types.SimpleNamespace: # its objects by name
    "Write the two parameter files and let the package make its objects from them."
    folder = Path(job["folder"])
    (folder/"image.yaml").write_text(yaml.safe_dump(dict(
        apix=job["pixel_size"], Npix=job["box"], Npix_downsize=job["box"], sigma_gmm=2)))
    (folder/"parameters.yaml").write_text(yaml.safe_dump(settings(job)))
    made = types.SimpleNamespace(**dict(zip(FIELDS, utils.parse_yaml(str(folder/"parameters.yaml"), rank(job)))))
    if len(made.gmm.mus) != job["residues"]:
        raise ValueError(f"cryosphere finds {len(made.gmm.mus)} residues in the model, expected {job['residues']}: "
                         "it drops residues whose names it does not know")
    if not made.gmm.mus.any(1).all():
        raise ValueError("cryosphere puts a residue without C-alpha at the origin: "
                         "give it a model without such residues")
    return made

def rank(job): return "cpu" if job["device"] == "cpu" else 0 # what its functions call gpu_id

class Alone(torch.nn.Module):
    "One process: in place of the wrapper for several."
    def __init__(self, module, device_ids=None):
        super().__init__()
        self.module = module

class NoSampler:
    "In place of the sampler for several processes."
    def __init__(self, *args, **kwargs): pass
    def set_epoch(self, epoch): pass

class TimeUp(Exception): "Raised between two steps."

def train(made, loader, job): # `loader` in place of its DataLoader
    "Its own training loop, fed by `loader`, until that raises `TimeUp`."
    cryosphere_train.DDP, cryosphere_train.DistributedSampler, cryosphere_train.DataLoader = (
        Alone, NoSampler, lambda *args, **kwargs: loader)
    try:
        cryosphere_train.start_training(
            made.vae, made.translator, made.ctf, made.grid, made.gmm, made.optimizer, made.dataset, made.n_epochs,
            made.batch_size, made.settings, made.scheduler, made.base, made.low_pass, made.mask, made.amortized,
            made.results, made.restraints, made.segmenter, rank(job))
    except TimeUp: pass

def batches(made, **options):
    return torch.utils.data.DataLoader(made.dataset, batch_size=made.batch_size, **options)

class SameBatch:
    "The first batch again and again; keeps the time from handing it out to being asked for the next."
    sampler = NoSampler()
    def __init__(self, made, job):
        self.batch, self.job, self.seconds = [v.to(rank(job)) for v in next(iter(batches(made)))], job, []
    def __iter__(self):
        for _ in range(self.job["warmup"] + self.job["steps"]):
            start = now(self.job["device"])
            yield self.batch
            self.seconds.append(now(self.job["device"]) - start)
        raise TimeUp

class UntilTimeUp:
    "All images in random order, epoch after epoch, until the time is up."
    sampler = NoSampler()
    def __init__(self, made, job):
        self.loader, self.job, self.images, self.start = batches(made, shuffle=True, drop_last=True), job, 0, None
    def __iter__(self):
        if self.start is None: self.start = now(self.job["device"])
        for batch in self.loader:
            self.elapsed = now(self.job["device"]) - self.start
            if self.elapsed > 60*self.job["minutes"]: raise TimeUp
            yield batch
            self.images += len(batch[0])

def time_step(job):
    "Seconds of one pass through its loop, data loading left out."
    imports = peak_mb()
    made = build(job)
    loader = SameBatch(made, job)
    train(made, loader, job)
    finite = all(bool(p.isfinite().all()) for p in made.vae.parameters())
    write_result(job, seconds=loader.seconds[job["warmup"]:], finite=finite, version=version("cryosphere"),
                 **memory(imports, job["device"]))

@torch.no_grad()
def nominal_correlation(made, job) -> float: # mean over a batch
    """Cosine between the images and the predictions of the undeformed model, by its functions: positive if poses,
    centre and contrast are as it expects."""
    to = rank(job)
    index, images, poses, shifts, _ = (v.to(to) for v in next(iter(batches(made))))
    observed = made.translator.transform(images, shifts[:, None]).flatten(1)
    posed = renderer.rotate_structure(made.gmm.mus.expand(len(index), -1, -1), poses)
    predicted = renderer.apply_ctf(renderer.project(posed, made.gmm.sigmas, made.gmm.amplitudes, made.grid),
                                   made.ctf, index).flatten(1)
    return torch.cosine_similarity(observed - observed.mean(1, keepdim=True),
                                   predicted - predicted.mean(1, keepdim=True)).mean().item()

@torch.no_grad()
def infer(made, job): # latents (N, L), structures (N, R, 3)
    "Latent means of all images and the structures its analysis predicts for them."
    z = torch.cat([made.vae.sample_latent(images.flatten(1).to(rank(job)), index.to(rank(job)))[1]
                   for index, images, *_ in batches(made)]).cpu().numpy()
    structures = [analyze.predict_structures(made.vae, part, made.gmm, made.segmenter, rank(job)).cpu()
                  for part in np.array_split(z, max(1, len(z)//made.batch_size))]
    return z, torch.cat(structures).numpy()

def run_stack(job):
    "Train for the given minutes, then infer."
    beginning = now()
    made = build(job)
    correlation = nominal_correlation(made, job)
    if not correlation > 0:
        raise ValueError(f"images and model correlate by {correlation:.3f}: "
                         "cryosphere needs images light on dark and the model in the frame of the poses")
    loader = UntilTimeUp(made, job)
    train(made, loader, job)
    z, coordinates = infer(made, job)
    np.savez(job["arrays"], z=z, coordinates=coordinates)
    write_result(job, images=loader.images, train_seconds=loader.elapsed,
                 other_seconds=now() - beginning - loader.elapsed, nominal_correlation=correlation,
                 version=version("cryosphere"))

if __name__ == "__main__":
    job = read_job()
    dict(step=time_step, stack=run_stack)[job["action"]](job)
