"""Jobs for the package itself: make the data of `step`, time a step and its floor, run `fit` on a stack, score
latents.

Called by peers.py."""
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np, torch
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import cryosphere_nb.model
from cryosphere_nb.core import InputError, fft2c, generator, kept_memory
from cryosphere_nb.image import ctf_half_plane, pose_points, project_half_plane, project_windowed
from cryosphere_nb.learner import make_optimizer
from cryosphere_nb.metrics import coordinate_rmsd, motion_coordinate, recovery_report
from cryosphere_nb.model import draw_noise
from cryosphere_nb.formats import read_particles
from cryosphere_nb.particles import relion_tables
from cryosphere_nb.preparation import PrepareConfig, prepare
from cryosphere_nb.relion import write_star
from cryosphere_nb.structure import Structure, load_structure, save_structure, standard_residue, structure_from_beads
from cryosphere_nb.synthetic import read_truth, simulate, write_simulation
from cryosphere_nb.building import make_model, prepare_model
from cryosphere_nb.settings import make_config, model_offset, moved
from cryosphere_nb.train import fit

from measure import memory, peak_mb, read_job, time_calls, version, write_result

def globule(n_residues:int, # R
            spacing:float=5., # Å; 5 Å gives the density of a protein, one residue per 125 Å³
            # standard deviation of each coordinate, Å; some pairs come closer than 4 Å, so that no clash loss is empty
            jitter:float=0.5,
            seed:int=0) -> Structure: # alanines, beads only
    "A chain that fills a cube row by row, to and fro."
    side = int(np.ceil(n_residues**(1/3)))
    i = torch.arange(side**3)
    x, y, z = i % side, i//side % side, i//side**2
    y = torch.where(z % 2 == 1, side - 1 - y, y)
    x = torch.where((i//side) % 2 == 1, side - 1 - x, x)
    beads = spacing*torch.stack([x, y, z], -1)[:n_residues].float()
    beads += jitter*torch.randn(beads.shape, generator=generator(seed))
    return structure_from_beads(beads - beads.mean(0), name="globule")

def make_step_data(job):
    "A stack of noisy images of a globule, with CTF, and the model as PDB."
    stack = simulate(globule(job["residues"]), n=job["images"], box=job["box"], pixel_size=job["pixel_size"],
                     snr=0.1, seed=job["seed"], scattering="beads")
    write_simulation(job["folder"], stack, model="model.pdb")
    write_result(job)

def step_data(job):
    "The model, and a batch as training sees it."
    structure, particles = (load_structure(Path(job["folder"])/"model.pdb"),
                            read_particles(Path(job["folder"])/"particles.star"))
    data = prepare(particles, PrepareConfig(box=job["box"], contrast="light"), progress=False)
    return structure, data, data.batch(torch.arange(job["batch"]))

def time_step(job):
    "Seconds per training step: forward, backward, optimiser."
    imports, device = peak_mb(), job["device"]
    if job["projection"] != "auto":
        cryosphere_nb.model.render = partial(cryosphere_nb.model.render, method=job["projection"])
    structure, data, batch = step_data(job)
    config = make_config(dict(encoder=job.get("encoder", "mlp"), n_segments=job["segments"], box=job["box"])
                         | job["settings"])
    model = make_model(structure, config, len(data), job["box"])
    if model.encoder.n_features: batch = prepare_model(model, data).batch(torch.arange(job["batch"]))
    model = model.to(device).train()
    optimizer, gen = make_optimizer(model, config.lr, config.lr_segments), generator(job["seed"])
    batch, weights = batch.to(device), config.loss_weights.at(1.)
    def step():
        loss, _ = model(batch,
                        draw_noise(len(batch), model.n_latent, model.segmentation.n_segments, gen,
                                   config.per_image_segments).to(device),
                        weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if not loss.isfinite():
            raise InputError("training step", f"a loss of {loss.item()}", "a finite number")
    with kept_memory(): seconds = time_calls(step, job["warmup"], job["steps"], device) # as in `fit`
    write_result(job, seconds=seconds, version=version("cryosphere_nb"), **memory(imports, device))

def time_floor(job):
    """Seconds of what no step can do without: windowed projection and FFT of the batch, times the CTF, forward and
    backward; and of the parts that a step may or may not need."""
    imports, device = peak_mb(), job["device"]
    structure, data, batch = step_data(job)
    batch, D, sigma = batch.to(device), job["box"], 2.
    amplitudes, ctf = structure.electrons.to(device), ctf_half_plane(batch.ctf, D, batch.pixel_size)
    points = pose_points(structure.beads.to(device).expand(len(batch), -1, -1), batch.R).detach().requires_grad_()
    upstream = fft2c(batch.images)
    back = lambda F: torch.autograd.grad(F, points, upstream)
    works = dict(
        floor=lambda: back(fft2c(project_windowed(points, amplitudes, sigma, D, batch.pixel_size))*ctf),
        floor_auto=lambda: back(project_half_plane(points, amplitudes, sigma, D, batch.pixel_size)*ctf),
        floor_dense=lambda: back(project_half_plane(points, amplitudes, sigma, D, batch.pixel_size, "dense")*ctf),
        ctf=lambda: ctf_half_plane(batch.ctf, D, batch.pixel_size),
        fft=lambda: fft2c(batch.images))
    with kept_memory():
        times = {name: time_calls(work, job["warmup"], job["steps"], device) for name, work in works.items()}
    write_result(job, seconds=times.pop("floor"), parts=times, version=version("cryosphere_nb"),
                 **memory(imports, device))

def export(job):
    """The stack and the model as the peers read them: a star file with one optics group and every CTF column, a PDB
    file centred as the images are, with standard residue names."""
    particles, structure = read_particles(job["star"]), load_structure(job["model"])
    optics, table = relion_tables(particles, [str(Path(particles.stacks[f].path).resolve()) for f in particles.file])
    if len(optics) > 1:
        raise InputError(Path(job["star"]).name, f"{len(optics)} optics groups",
                         "one: the released cryosphere 0.6.1 reads no more")
    write_star(replace(particles, table=table, blocks={"optics": optics}, block="particles", path=None, kind="star"),
               Path(job["folder"])/"particles.star", overwrite=True)
    offset = model_offset(structure, particles)
    structure = moved(structure, -offset)
    one_chain = structure.residues.chain.nunique() == 1
    plain = lambda table: table.assign(residue_name=[standard_residue(n) or n for n in table.residue_name],
                                       chain="A" if one_chain else table.chain)
    save_structure(replace(structure, atoms=plain(structure.atoms), residues=plain(structure.residues)),
                   Path(job["folder"])/"model.pdb", overwrite=True)
    write_result(job, images=len(particles), box=int(particles.box[0]), pixel_size=float(particles.pixel_size[0]),
                 residues=structure.n_beads, offset=offset.tolist())

def run_fit(job):
    "Our own run on the stack."
    start = time.perf_counter()
    settings = dict(n_segments=job["segments"], seed=job["seed"], max_minutes=job["minutes"],
                    cpu=job["device"] == "cpu") | job["settings"]
    run = fit(job["star"], job["model"], out=Path(job["folder"])/"run", progress=False, **settings)
    total, state = time.perf_counter() - start, run.state
    images = state.epoch*len(run) + state.position
    np.savez(job["arrays"], z=run.latents.numpy(), coordinates=run.coordinates().numpy(), labels=run.segments.numpy())
    write_result(job, images=images, train_seconds=state.elapsed, other_seconds=total - state.elapsed,
                 version=version("cryosphere_nb"), settings={k: v for k, v in settings.items() if k != "cpu"})

def probe(z:np.ndarray, # (N, L)
          truth:np.ndarray): # (N,)
    """Correlation of the truth with its linear prediction from the latents (ridge, five folds) and with their first
    principal component."""
    if not np.isfinite(z).all() or z.std() == 0: return dict(probe_r=None, first_pc_r=None)
    ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 7)))
    predicted = cross_val_predict(ridge, z, truth, cv=KFold(5, shuffle=True, random_state=0))
    pc = np.linalg.svd(z - z.mean(0), full_matrices=False)[0][:, 0]
    return dict(probe_r=float(np.corrcoef(predicted, truth)[0, 1]), first_pc_r=float(abs(np.corrcoef(pc, truth)[0, 1])))

def score(job):
    "Latents, and structures where there are some, against the truth beside the star file."
    truth, _ = read_truth(job["star"])
    nominal = load_structure(job["model"]).beads
    scores = {}
    for name, file in job["files"].items():
        arrays = np.load(file, allow_pickle=False)
        row = probe(arrays["z"].astype(float), motion_coordinate(truth).numpy())
        if "coordinates" in arrays:
            found = torch.from_numpy(arrays["coordinates"]) + torch.tensor(job["offsets"].get(name, [0., 0., 0.]))
            row |= (recovery_report(found, truth, nominal,
                                    torch.from_numpy(arrays["labels"]) if "labels" in arrays else None).to_dict()
                    if found.isfinite().all() else dict(r=None, rmsd=None))
        scores[name] = row
    write_result(job, scores=scores, nominal_rmsd=float(coordinate_rmsd(nominal, truth).median()))

ACTIONS = dict(step_data=make_step_data, step=time_step, floor=time_floor, export=export, fit=run_fit, score=score)

if __name__ == "__main__":
    job = read_job()
    ACTIONS[job["action"]](job)
