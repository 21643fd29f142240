"Render README.md from nbs/index.ipynb with nbconvert: no Quarto, no network, the same bytes every time."
import re
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

root = Path(__file__).resolve().parent.parent
notice = "<!-- Rendered from nbs/index.ipynb by `make readme`; edit that. -->\n\n"

def visible(cell):
    "Does the cell belong in the README? Hidden cells and nbdev's bookkeeping do not."
    return cell.source.strip() and not re.search(r"^#\|\s*(hide|default_exp)\b", cell.source, re.M)

def relink(text):
    """Links in the notebook are relative to nbs/; README.md stands one folder higher.

    Chapters are linked as notebooks, which GitHub shows."""
    local, before = r"(?!https?:|mailto:|#|/)", r"(\]\(|src=\"|srcset=\")"
    text = re.sub(rf"{before}{local}(?!\.\./)", r"\1nbs/", text)
    return re.sub(rf"{before}{local}\.\./", r"\1", text)

def without_divisions(text):
    "The text without Quarto's lines of colons, which GitHub would show."
    return re.sub(r"^:::.*\n?", "", text, flags=re.M)

def render():
    "README.md as text."
    nb = nbformat.read(root/"nbs/index.ipynb", 4)
    nb.cells = [c for c in nb.cells if visible(c)]
    for c in nb.cells: c.source = "\n".join(l for l in c.source.split("\n") if not l.startswith("#|"))
    body, resources = MarkdownExporter().from_notebook_node(nb)
    if resources["outputs"]:
        raise SystemExit("nbs/index.ipynb has an image as a cell's output; README.md cannot hold it: "
                         "put the file in nbs/images and link it from a text cell")
    return notice + re.sub(r"\n{3,}", "\n\n", relink(without_divisions(body))).strip() + "\n"

if __name__ == "__main__":
    (root/"README.md").write_text(render(), encoding="utf-8")
    print("README.md written from nbs/index.ipynb")
