"""Favicon and social card of the site, drawn from the package's own two-body protein: nbs/images/favicon.png,
favicon.svg, card.png.

    .ci/pictures.py      needed again only when their design changes
"""
import sys
from pathlib import Path

import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt, numpy as np, torch
from PIL import Image
from matplotlib.figure import Figure

root = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(root))
from cryosphere_nb.synthetic import hinge_movie, simulate, two_body
from cryosphere_nb.plotting import principal_frame

still, moving, ink = "#ee6677", "#228833", "#16324f"
images = root/"nbs/images"

def frames(angles):
    "Beads (F, R, 2) of the protein at hinge angles in degrees, seen along its flattest direction; the hinge's index."
    protein, hinge = two_body()
    beads = hinge_movie(protein, torch.deg2rad(torch.tensor(angles)), hinge)[:, protein.bead_atom]
    centre, axes = principal_frame(beads.reshape(-1, 3))
    return ((beads - centre) @ axes.T)[..., :2].numpy(), hinge

def chain(ax, xy, hinge, width, alpha=1.):
    "One conformation: the body that stands still, and the one that moves."
    for part, color in ((xy[:hinge + 1], still), (xy[hinge:], moving)):
        ax.plot(*part.T, color=color, lw=width, alpha=alpha, solid_capstyle="round", solid_joinstyle="round")

def favicon():
    "Two bodies and a hinge, bold enough for 16 pixels: arcs of beads."
    fig = Figure(figsize=(1, 1))
    ax = fig.add_axes((0, 0, 1, 1))
    ax.add_patch(plt.Circle((0, 0), 1, color="white", lw=0))
    for k, alpha in ((0, .35), (1, 1.)):
        t = np.linspace(0, 1, 5)
        turn = np.deg2rad((-38, 38)[k])
        ax.scatter(0.75*t[1:]*np.cos(turn), 0.75*t[1:]*np.sin(turn), s=150, color=moving, alpha=alpha, lw=0)
    ax.scatter(-0.75*np.linspace(0, 1, 5)[1:], np.zeros(4), s=150, color=still, lw=0)
    ax.scatter([0], [0], s=190, color=ink, lw=0, zorder=3)
    ax.set_xlim(-1, 1)
    ax.set_ylim(-1, 1)
    ax.axis("off")
    fig.savefig(images/"favicon.png", dpi=64, transparent=True, metadata={"Software": None})
    fig.savefig(images/"favicon.svg", transparent=True, metadata={"Date": None, "Creator": None})

def card():
    "1200 × 630: particle images, and the conformations found in them."
    fig = Figure(figsize=(12, 6.3), facecolor="white")
    protein, hinge = two_body()
    angles = np.linspace(-40., 40., 12)
    sim = simulate(protein, hinge_movie(protein, torch.deg2rad(torch.tensor(angles).float()), hinge), box=40,
                   pixel_size=3.4, snr=0.6, seed=2)
    for k, image in enumerate(sim.images()):
        ax = fig.add_axes((k/12 + 0.002, 0.004, 1/12 - 0.004, 1/6.3 - 0.008))
        ax.imshow(image, cmap="Greys_r", vmin=-2.5*image.std(), vmax=3.5*image.std(), aspect="auto")
        ax.axis("off")
    ax = fig.add_axes((0.43, 0.19, 0.56, 0.78))
    xy, hinge = frames([-40., -20., 0., 20., 40.])
    for x, alpha in zip(xy, (.25, .3, .4, .55, 1.)): chain(ax, x, hinge, 2.2, alpha)
    ax.plot(*xy[0, hinge], "o", color=ink, ms=9, zorder=5)
    ax.set_aspect("equal")
    ax.axis("off")
    fig.text(0.05, 0.70, "cryosphere_nb", fontsize=42, weight="bold", color=ink, family="DejaVu Sans Mono")
    fig.text(0.05, 0.575, "One atomic structure per", fontsize=24, color="#333333")
    fig.text(0.05, 0.50, "cryo-EM particle image", fontsize=24, color="#333333")
    fig.text(0.05, 0.36, "The cryoSPHERE method as a book that runs", fontsize=15, color="#666666")
    fig.savefig(images/"card.png", dpi=100, metadata={"Software": None})
    # a third of the size
    Image.open(images/"card.png").convert("RGB").quantize(96, dither=Image.Dither.NONE).save(images/"card.png",
                                                                                             optimize=True)

favicon()
card()
for name in "favicon.png", "favicon.svg", "card.png":
    print(f"{name}: {(images/name).stat().st_size/1000:.0f} kB")
