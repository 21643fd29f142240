"""All the checks behind `make test`, in order; the last line counts them.

Checks that would change files work on a copy of the project in a temporary folder, so that a failing check leaves the
checkout as it was.
`checks.py --notebook PATH` is how the notebooks are run: each in a process of its own, by nbdev's `test_nb`.
"""
import difflib, importlib.util, json, os, re, shutil, signal, subprocess, sys, sysconfig, tempfile, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

root = Path(__file__).resolve().parent.parent
package, bin_folder = "cryosphere_nb", Path(sys.executable).parent
n_workers, notebook_seconds, fuzz_seconds, browser_seconds, notebook_bytes, nbs_bytes = (
    2, 600, 900, 1800, 1_000_000, 15_000_000)
# One thread per process: two notebooks share two cores, and results do not depend on the number of cores. OpenMP reads
# this when torch is imported, so it has to be in the environment of the process, not set by it.
one_thread = {k: "1" for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "IN_TEST")} | one_thread

class Failed(Exception):
    "A check that failed; the text says what was found and what to do."

class Skipped(Exception):
    "A check that could not be made on this machine; the text says why."

def command(*args, cwd=root, **kw):
    "Run a command; its output is shown if it fails."
    done = subprocess.run([str(a) for a in args], cwd=cwd, env=environment, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", **kw)
    if done.returncode:
        raise Failed(f"{Path(str(args[0])).name} ended with code {done.returncode}\n{done.stdout}")
    return done.stdout

def copy_project(folder):
    "The project's files in `folder`, without environment, history and generated folders."
    for name in "settings.ini", "setup.py", "pyproject.toml", "_quarto.yml", "README.md", "LICENSE":
        shutil.copy2(root/name, folder/name)
    for name in "nbs", package:
        shutil.copytree(root/name, folder/name, symlinks=True,
                        ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "nbdev.yml"))
    return folder

def notebooks(folder=root):
    "Every notebook nbdev would see, in reading order."
    found = (folder/"nbs").rglob("*.ipynb")
    return sorted(p for p in found if not any(part[0] in "._" for part in p.relative_to(folder).parts))

def differences(old, new, names):
    "Unified diffs, some lines each, of the files that differ between two folders."
    read = lambda p: p.read_text(encoding="utf-8").splitlines() if p.exists() else []
    return {n: "\n".join(list(difflib.unified_diff(read(old/n), read(new/n), f"{n} (as it is)",
                                                   f"{n} (as it should be)", lineterm="", n=1))[:30])
            for n in names if read(old/n) != read(new/n)}

# ---------------------------------------------------------------- 1. notebooks and package in step

def check_clean(copy):
    "notebooks are clean: nbdev_clean changes nothing"
    command(bin_folder/"nbdev_clean", cwd=copy)
    diff = differences(root, copy, [p.relative_to(root) for p in notebooks()])
    if diff: raise Failed("run `nbdev_clean`:\n" + "\n".join(diff.values()))

def check_stored(copy):
    "notebooks are stored with results, without errors and without widgets, each below 1 MB, all of nbs/ below 15 MB"
    bad, total = [], sum(p.stat().st_size for p in (root/"nbs").rglob("*")
                         if p.is_file() and ".ipynb_checkpoints" not in p.parts)
    if total > nbs_bytes: bad.append(f"nbs/: {total/1e6:.1f} MB")
    for p in notebooks():
        code = [c for c in json.loads(p.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
        outputs = [o for c in code for o in c["outputs"]]
        if any(o["output_type"] == "error" for o in outputs):
            bad.append(f"{p.name}: a stored output is an error")
        if any("application/vnd.jupyter.widget-view+json" in o.get("data", {}) for o in outputs):
            bad.append(f"{p.name}: a widget is stored, which is a bar that stands still for a reader "
                       "(run it with TQDM_DISABLE=1)")
        if len(code) > 6 and not outputs:
            bad.append(f"{p.name}: no stored output; a reader of the site would see nothing")
        if p.stat().st_size > notebook_bytes: bad.append(f"{p.name}: {p.stat().st_size/1e6:.1f} MB")
    if bad: raise Failed("\n".join(bad))

def check_export(copy):
    "package and notebooks are in step: exporting into an empty package gives the same files, no orphan"
    for p in (copy/package).rglob("*.py"):
        if p.name != "__init__.py": p.unlink()
    command(bin_folder/"nbdev_export", cwd=copy)
    modules = lambda folder: {p.relative_to(folder) for p in (folder/package).rglob("*.py")}
    orphans, absent = modules(root) - modules(copy), modules(copy) - modules(root)
    if orphans: raise Failed("no notebook exports " + ", ".join(map(str, sorted(orphans))))
    if absent: raise Failed("not exported yet (`make export`): " + ", ".join(map(str, sorted(absent))))
    diff = differences(root, copy, sorted(modules(root)) + [Path("pyproject.toml"), Path("settings.ini")])
    if diff: raise Failed("edit the notebook, then run `make export`:\n" + "\n".join(diff.values()))

# ---------------------------------------------------------------- 2. names

def check_names(copy):
    "pyflakes: the exported modules use no name that only their notebook has"
    command(sys.executable, "-m", "pyflakes", package)

# ---------------------------------------------------------------- 3. as a user would install it

def check_wheel(copy):
    ("a wheel in a new environment: every module imports, so does `fit`, the files of the pages are there, "
     "and the command answers --help")
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        source, wheels, venv = tmp/"source", tmp/"wheels", tmp/"venv"
        source.mkdir()
        copy_project(source)
        command(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
                "--wheel-dir", wheels, source)
        wheel, = wheels.glob("*.whl")
        command(sys.executable, "-m", "venv", "--without-pip", venv)
        command(sys.executable, "-m", "pip", "--python", venv, "install", "--quiet", "--no-deps", "--no-index", wheel)
        # Dependencies come from this environment's site-packages, through a path file: they were installed from the
        # same constraints minutes ago, and 2 GB are not installed twice. The package itself cannot come that way:
        # Python does not read path files (and so not the editable install's) in a folder that a path file adds. The
        # script below verifies it.
        site = Path(sysconfig.get_path("purelib", vars={"base": str(venv), "platbase": str(venv)}))
        (site/"dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
        names = [f"{package}.{p.stem}" for p in sorted((root/package).glob("*.py")) if not p.stem.startswith("_")]
        script = f"""
import importlib, pathlib
inside = pathlib.Path({str(site)!r}).resolve()
for name in {[package, *names]!r}:
    file = pathlib.Path(importlib.import_module(name).__file__).resolve()
    assert inside in file.parents, f"{{name}} came from {{file}}, not from the wheel"
from {package}.train import fit
assert callable(fit)
from {package}.viewers import asset
for name in {sorted(p.name for p in (root/package/"assets").iterdir())!r}: assert asset(name)
"""
        command(venv/"bin/python", "-I", "-c", script, cwd=tmp)
        if "usage" not in command(venv/"bin/cryosphere-nb", "--help", cwd=tmp).lower():
            raise Failed("cryosphere-nb --help prints no usage")

# ---------------------------------------------------------------- 4. the notebooks themselves

def notebook_worker(path):
    "Run one notebook with nbdev's own test machinery, in this process; the last line printed is the result as JSON."
    from nbdev.config import get_config
    from nbdev.frontmatter import FrontmatterProc
    from nbdev.process import NBProcessor
    from nbdev.test import test_nb
    flags = set(get_config().tst_flags.split())
    nb = NBProcessor(path, procs=FrontmatterProc, process=True).nb
    code = [c for c in nb.cells if c.cell_type == "code" and c.source.strip()]
    left_out = [c for c in code if flags & set(getattr(c, "directives_", None) or {})]
    skip_all = str(getattr(nb, "frontmatter_", {}).get("skip_exec", False)).lower() == "true"
    passed = skip_all or test_nb(path, skip_flags=flags, basepath=root)[0]
    print("\n" + json.dumps(dict(passed=bool(passed),
                                 skipped=skip_all or (len(code) > 0 and len(left_out) == len(code)),
                                 left_out=len(left_out))), flush=True)

def run_notebook(path):
    "Run one notebook in a process of its own: (status, seconds, text)."
    start = time.time()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        # a file, not a pipe: a stray child process must not keep us waiting
        job = subprocess.Popen([sys.executable, __file__, "--notebook", str(path)], cwd=root, env=environment,
                               stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try: code = job.wait(notebook_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(job.pid, signal.SIGKILL)
            code = f"{job.wait()} (stopped after {notebook_seconds} s)"
        log.seek(0)
        text = log.read()
    try: result = json.loads(text.rstrip().rsplit("\n", 1)[-1])
    except (json.JSONDecodeError, IndexError): result = None
    if code or not isinstance(result, dict):
        return "failed", time.time() - start, f"the process ended with code {code}\n{text[-6000:]}"
    note = f"{result['left_out']} slow cells left out" if result["left_out"] else ""
    return (("skipped" if result["skipped"] else "passed" if result["passed"] else "failed"), time.time() - start,
            note if result["passed"] else text[-6000:])

# ---------------------------------------------------------------- 5. files that are damaged

def check_fuzz(copy):
    "readers of damaged files: hundreds of mutations for each, and every one is read or refused with an InputError"
    script = root/"benchmarks/fuzz.py"
    if not script.exists(): raise Skipped("there is no benchmarks/fuzz.py")
    return command(sys.executable, script, "--mutations", "200", "--seed", "0",
                   timeout=fuzz_seconds).strip().rsplit("\n", 1)[-1]

# ---------------------------------------------------------------- 6. what is rendered from them

def check_readme(copy):
    "README.md is what nbs/index.ipynb renders to, and `nbdev_docs` leaves it alone"
    spec = importlib.util.spec_from_file_location("readme", root/".ci/readme.py")
    readme = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(readme)
    (copy/"README.md").write_text(readme.render(), encoding="utf-8")
    diff = differences(root, copy, [Path("README.md")])
    if diff: raise Failed("run `make readme`:\n" + "\n".join(diff.values()))
    dead = [l for l in re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)",
                                  (copy/"README.md").read_text(encoding="utf-8"))
            if not (root/l).exists()]
    if dead: raise Failed("README.md links to files that are not there: " + ", ".join(dead))
    # older than every notebook: the one case in which nbdev_docs would have Quarto write another
    os.utime(copy/"README.md", (0, 0))
    said = command(sys.executable, "-c",
                   "from nbdev.quarto import nbdev_readme; nbdev_readme.__wrapped__(chk_time=True)", cwd=copy)
    if differences(root, copy, [Path("README.md")]) or "Could not find" not in said:
        raise Failed("nbdev_docs would write README.md; settings.ini, readme_nb, names a notebook that is not there, "
                     f"so that it does not\n{said}")

def check_docs(copy):
    ("the documentation site's sources build: nbdev prepares every notebook for Quarto; "
     "the sidebar, the reference and the page of all settings that are stored are up to date")
    if (copy/".git").exists(): raise Failed(f"{copy} is a repository, not a copy: it is not removed")
    shutil.rmtree(copy)
    copy.mkdir()
    copy_project(copy)
    shutil.copytree(root/".ci", copy/".ci", ignore=shutil.ignore_patterns("__pycache__"))
    command(sys.executable, ".ci/docs.py", "--prepare", cwd=copy)
    made = [Path("nbs")/name for name in ("sidebar.yml", "api.ipynb", "all_settings.ipynb")]
    diff = differences(root, copy, made)
    if diff: raise Failed("run `make export`:\n" + "\n".join(diff.values()))

def check_links(copy):
    ("every link of the site leads somewhere: pages, anchors, images, repository, Colab, names of the package, "
     "sidebar; every figure has a text for those who cannot see it, no code shows a link, and Quarto gets its text "
     "in lines")
    if not (copy/"_proc").is_dir(): raise Failed("the site's sources were not prepared")
    # what pages may link to in the repository
    for name in "benchmarks", "CONTRIBUTING.md", "CHANGELOG.md", ".github", "Makefile":
        if (root/name).is_dir():
            shutil.copytree(root/name, copy/name, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns("__pycache__", ".env"))
        else: shutil.copy2(root/name, copy/name)
    return command(sys.executable, ".ci/links.py", cwd=copy).strip()

# ---------------------------------------------------------------- 7. what a browser makes of them

def check_browser(copy):
    "the viewers in headless Chromium: pages open, play, slide and turn, and no name runs as a script"
    try:
        done = subprocess.run([sys.executable, ".ci/browser.py"], cwd=root, env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
                              timeout=browser_seconds)
    except subprocess.TimeoutExpired as e:
        raise Failed(f"stopped after {browser_seconds} s\n{(e.stdout or b'').decode(errors='replace')}")
    if done.returncode == 77: raise Skipped(done.stdout.strip().rsplit("\n", 1)[-1])
    if done.returncode:
        raise Failed(f"`.ci/browser.py NAME --pictures FOLDER` runs one page and leaves pictures\n{done.stdout}")
    return " ".join(line.split()[-1] for line in done.stdout.splitlines() if line.startswith("passed"))

# ---------------------------------------------------------------- run and count

def outcome(f, copy):
    "Make a check: (status, seconds, what it is, text)."
    start = time.time()
    try: status, text = "passed", f(copy) or ""
    except Skipped as e: status, text = "skipped", str(e)
    except Failed as e: status, text = "failed", str(e)
    except Exception as e: status, text = "failed", f"{type(e).__name__}: {e}"
    return status, time.time() - start, f.__doc__, text

def main():
    "Run everything, say what happened, count."
    count, failures, began = dict(passed=0, failed=0, skipped=0), [], time.time()
    def report(status, seconds, title, text):
        count[status] += 1
        if status == "failed": failures.append(title)
        print(f"{status.upper() if status == 'failed' else status:8}{seconds:6.1f} s  {title}"
              + (f"  ({text})" if text and status != "failed" else ""), flush=True)
        if status == "failed" and text: print("    " + text.strip().replace("\n", "\n    "), flush=True)
    def notebook(p):
        status, seconds, text = run_notebook(p)
        return status, seconds, p.relative_to(root).as_posix(), text
    with tempfile.TemporaryDirectory() as tmp:
        copy = copy_project(Path(tmp))
        for f in check_clean, check_stored, check_export, check_names, check_wheel: report(*outcome(f, copy))
        # Two jobs at a time, and the longest first: the later chapters take longest. The three checks of what is
        # rendered share a folder, so they are one job.
        rendered = lambda: [outcome(f, copy) for f in (check_readme, check_docs, check_links)]
        with ThreadPoolExecutor(n_workers) as pool:
            jobs = [pool.submit(lambda f=f: [outcome(f, copy)]) for f in (check_fuzz, check_browser)]
            jobs += [pool.submit(lambda p=p: [notebook(p)]) for p in reversed(notebooks())] + [pool.submit(rendered)]
            for job in jobs:
                for result in job.result(): report(*result)
    if failures: print("\nfailed:\n  " + "\n  ".join(failures))
    print(f"\n{time.time() - began:.0f} s in all")
    print(", ".join(f"{n} {status}" for status, n in count.items()), flush=True)
    return int(count["failed"] > 0)

if __name__ == "__main__":
    if sys.argv[1:2] == ["--notebook"]: notebook_worker(Path(sys.argv[2]))
    else: sys.exit(main())
