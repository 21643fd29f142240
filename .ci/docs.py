"Prepare the notebooks for Quarto, as `nbdev_docs` does, and render the site if Quarto is installed. Never tries to install it."
import shutil, subprocess, sys, warnings
from pathlib import Path

import nbdev.quarto as quarto

def prepare():
    "Write nbs/sidebar.yml, nbs/nbdev.yml and the processed notebooks in _proc; return that folder."
    quarto._ensure_quarto = lambda: None # nbdev would download and install it, as root
    return Path(quarto._pre_docs(file_glob="", file_re=quarto._def_file_re, force=True, n_workers=2)[0])

def main():
    warnings.simplefilter("error")
    proc = prepare()
    chapters = sorted(p.relative_to(proc).as_posix() for p in proc.rglob("*.ipynb"))
    print(f"{len(chapters)} notebooks ready for Quarto in {proc.name}")
    if "--prepare" in sys.argv: return
    if not shutil.which("quarto"): return print("Quarto is not installed (https://quarto.org): the site was not rendered")
    subprocess.run(["quarto", "render", "--no-cache"], cwd=proc, check=True)
    docs = proc.parent/"_docs"
    shutil.rmtree(docs, ignore_errors=True)
    shutil.move(proc/"_docs", docs)
    print("the site is in _docs")

if __name__ == "__main__": main()
