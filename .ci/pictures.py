"""Pictures of the site, in nbs/images: favicon and social card, drawn from the package's own two-body protein; what
`make demo` leaves, and its motion.

    .ci/pictures.py             favicon.png, favicon.svg, card.png
    .ci/pictures.py FOLDER      also demo.png, motion.gif and motion.png, from a run of the demonstration there (`demo`)

Needed again only when their design changes, or what the demonstration finds.
"""
import sys
from pathlib import Path

import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt, numpy as np, torch
from PIL import Image
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

root = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(root))
from cryosphere_nb.analysis import recovered_coordinate
from cryosphere_nb.formats import read_particles
from cryosphere_nb.plotting import principal_frame
from cryosphere_nb.synthetic import hinge_movie, simulate, two_body
from cryosphere_nb.train import Run

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
    smaller(Image.open(images/"card.png"), images/"card.png")

def smaller(image, path, colors=96, **settings):
    "Write a picture in few colours: a third of the size."
    image.convert("RGB").quantize(colors, dither=Image.Dither.NONE).save(path, optimize=True, **settings)

def even_rows(coordinate, n):
    "Images spread evenly along a coordinate, the nearest to each of n values between its extremes."
    ends = np.nanquantile(coordinate, (.02, .98))
    return [int(np.nanargmin(abs(coordinate - v))) for v in np.linspace(*ends, n)]

def draw_frame(beads, border, stack, k, reach):
    "720 × 400: the structure found for image k, above the images; a frame around the one it was found for."
    fig = Figure(figsize=(7.2, 4), dpi=100, facecolor="white")
    FigureCanvasAgg(fig)
    ax = fig.add_axes((0, 0.245, 1, 0.755))
    chain(ax, beads[k], border, 2.4)
    ax.set_xlim(*reach[0])
    ax.set_ylim(*reach[1])
    ax.set_aspect("equal")
    ax.axis("off")
    for j, image in enumerate(stack):
        ax = fig.add_axes((j/len(stack) + .003, .006, 1/len(stack) - .006, .22))
        ax.imshow(image, cmap="Greys_r", vmin=-2.5*image.std(), vmax=3.5*image.std())
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set(color=moving if j == k*len(stack)//len(beads) else "white", lw=4)
    fig.canvas.draw()
    return Image.fromarray(np.asarray(fig.canvas.buffer_rgba())[..., :3])

def motion(folder, n_images=8, steps=3):
    "There and back along the motion: `steps` structures, each of one image, while a frame is around one of `n_images`."
    run, particles = Run.load(folder/"run"), read_particles(folder/"data/particles.star")
    rows = even_rows(recovered_coordinate(run).recovered.to_numpy(), n_images*steps)
    coords = run.coordinates(torch.tensor(rows))
    centre, axes = principal_frame(coords.reshape(-1, 3))
    beads = ((coords - centre) @ axes.T)[..., :2].numpy()
    border = int((run.domains.labels != run.domains.labels[0]).nonzero()[0])
    stack = particles.images(rows[steps//2::steps]).numpy()
    reach = [(beads[..., i].min() - 5, beads[..., i].max() + 5) for i in (0, 1)]
    order = [*range(len(rows)), *range(len(rows) - 2, 0, -1)]
    frames = {k: draw_frame(beads, border, stack, k, reach) for k in set(order)}
    smaller(frames[0], images/"motion.png")
    palette = frames[0].quantize(48, dither=Image.Dither.NONE)
    pages = [frames[k].quantize(palette=palette, dither=Image.Dither.NONE) for k in order]
    pages[0].save(images/"motion.gif", save_all=True, append_images=pages[1:], duration=110, loop=0, optimize=True)

def demo(folder):
    "The sheet that the demonstration leaves."
    smaller(Image.open(folder/"run/overview.png"), images/"demo.png", 128)

favicon()
card()
if sys.argv[1:]:
    demo(Path(sys.argv[1]))
    motion(Path(sys.argv[1]))
for path in sorted(images.iterdir()): print(f"{path.name}: {path.stat().st_size/1000:.0f} kB")
