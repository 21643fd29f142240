"""Prepare the notebooks for Quarto, as `nbdev_docs` does, and render the site if Quarto is installed. Never tries to
install it.

    .ci/docs.py              the site: sources in _proc, pages in _docs if there is Quarto
    .ci/docs.py --prepare    the sources only
    .ci/docs.py --refresh    only what is kept in the repository: nbs/sidebar.yml, and the output of nbs/api.ipynb and
                             nbs/all_settings.ipynb

The pages are those of `nbdev_docs`: what is done to them beyond nbdev's own steps is in cryosphere_site.py. Here they
are made anew, all of them, with the sidebar in reading order and a reference that names every public name.
"""
import json, re, shutil, subprocess, sys, warnings
from pathlib import Path

import yaml
import nbdev.quarto as quarto

from cryosphere_nb.cli import every_setting
from cryosphere_site import public_names

root = Path(__file__).resolve().parent.parent
nbs = root/"nbs"

# ---------------------------------------------------------------- sidebar

start = "index", "gallery", "all_settings", "glossary" # pages without a number, in this order; unknown ones come after them
stories = ("ten_minutes", "adenylate_kinase", "relion_cryosparc", "ladder", "optics", "from_empiar", "empiar_10180",
           "empiar_12093")
# chapters by number; later ones are tools
decades = {0: "Foundations", 1: "Image formation and model", 2: "Data", 3: "Training", 4: "Analysis", 5: "Analysis"}
folders = {"tutorials": "Tutorials", "paper": "The paper"}
sections = "Start", "Tutorials", "The paper", *dict.fromkeys(decades.values()), "Tools"

def pages(folder=nbs):
    "Notebooks of the site, by path relative to nbs/."
    found = (p.relative_to(folder) for p in folder.rglob("*.ipynb"))
    return sorted(p for p in found if not any(part[0] in "._" for part in p.parts))

def title(path):
    "A page's title, without its subtitle."
    if path.stem == "index": return "Overview"
    for cell in json.loads((nbs/path).read_text(encoding="utf-8"))["cells"]:
        if found := (re.search(r"^# (.+)$", "".join(cell["source"]), re.M) if cell["cell_type"] == "markdown"
                     else None):
            return re.sub(r"[`*]", "", found[1]).split(":")[0].strip()
    raise SystemExit(f"nbs/{path} has no title")

def section(path):
    "Which part of the sidebar a page belongs to."
    if len(path.parts) > 1: return folders.get(path.parts[0], path.parts[0].replace("_", " ").capitalize())
    if path.stem == "api": return "Tools"
    number = re.match(r"(\d\d)_", path.name)
    return decades.get(int(number[1])//10, "Tools") if number else "Start"

def place(path):
    "Reading order within a section."
    known = start if len(path.parts) == 1 else stories
    return (known.index(path.stem) if path.stem in known else len(known), path.name)

def sidebar():
    "Contents of the sidebar: a section for every part of the book."
    parts = {name: [] for name in sections}
    for p in sorted(pages(), key=place):
        parts.setdefault(section(p), []).append(dict(text=title(p), href=p.as_posix()))
    return dict(website=dict(sidebar=dict(contents=[
        dict(section=name, contents=items) for name, items in parts.items() if items])))

def write_sidebar():
    "nbs/sidebar.yml, which Quarto reads besides _quarto.yml."
    text = ("# Written by .ci/docs.py (`make export`): do not edit\n"
            + yaml.dump(sidebar(), sort_keys=False, allow_unicode=True, width=200))
    if not (path := nbs/"sidebar.yml").exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")

# ---------------------------------------------------------------- reference

def refresh_reference():
    "Run the pages that list every public name and every setting, unless they name all of them already."
    names = {f"{room}.{name}" for room, listed in public_names().items() for name in listed}
    stored = (nbs/"api.ipynb").read_text(encoding="utf-8")
    if names != set(re.findall(r'<code id=\\"([\w.]+)\\">', stored)): run_page(nbs/"api.ipynb")
    missing = missing_settings()
    if missing: run_page(nbs/"all_settings.ipynb")

def missing_settings() -> list: # names
    "Settings that the page of all settings does not have as they are today."
    stored = json.loads((nbs/"all_settings.ipynb").read_text(encoding="utf-8"))
    text = "".join(line for c in stored["cells"] for o in c.get("outputs", ())
                   for line in o.get("data", {}).get("text/markdown", ()))
    shown = lambda name, s: f'id="setting.{name}"' in text and s.text.replace("|", "&#124;") in text
    return [name for name, s in every_setting().items() if not shown(name, s)]

def run_page(path):
    "Execute a page that is made from the sources, and clean it."
    subprocess.run([sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace",
                    "--log-level", "ERROR", path.name], cwd=nbs, check=True)
    subprocess.run([Path(sys.executable).parent/"nbdev_clean", "--fname", path], cwd=root, check=True)

# ---------------------------------------------------------------- the pages

def prepare():
    "Write nbs/sidebar.yml, nbs/nbdev.yml and the processed notebooks in _proc; return that folder."
    quarto._ensure_quarto = lambda: None # nbdev would download and install it, as root
    write_sidebar()
    refresh_reference()
    proc = Path(quarto._pre_docs(file_glob="", file_re=quarto._def_file_re, force=True, n_workers=2)[0])
    write_sidebar() # nbdev has written its own, in alphabetical order
    shutil.copy2(nbs/"sidebar.yml", proc/"sidebar.yml")
    return proc

def main():
    warnings.simplefilter("error")
    if "--refresh" in sys.argv:
        write_sidebar()
        return refresh_reference()
    proc = prepare()
    print(f"{len(pages(proc))} notebooks ready for Quarto in {proc.name}")
    if "--prepare" in sys.argv: return
    if not shutil.which("quarto"):
        return print("Quarto is not installed (https://quarto.org): the site was not rendered")
    subprocess.run(["quarto", "render", "--no-cache"], cwd=proc, check=True)
    docs = proc.parent/"_docs"
    shutil.rmtree(docs, ignore_errors=True)
    shutil.move(proc/"_docs", docs)
    print("the site is in _docs")

if __name__ == "__main__": main()
