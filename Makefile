# make test | demo | docs | readme | export | constraints | clean. Needs Python 3.11 or newer and pip; everything else goes into .venv in this folder,
# except the browser that one check of `make test` uses: Debian's chromium is installed if there is none and we are root.
SHELL := bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
BROWSER := $(VENV)/node/ready

.PHONY: test demo docs readme export constraints clean distclean

test: $(STAMP) $(BROWSER)
	@$(BIN)/python .ci/checks.py

demo: $(STAMP)
	@$(BIN)/python -m cryosphere_nb.cli demo --out demo --overwrite

# The environment is built again when what goes into it changes. The path file lets nbdev's own commands find .ci/cryosphere_site.py.
$(STAMP): constraints.txt settings.ini setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt pip setuptools wheel
	$(BIN)/python -m pip install --quiet -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-build-isolation -e '.[dev]'
	@echo '$(CURDIR)/.ci' > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/cryosphere_site.pth"
	@touch $@

# Chromium and 3Dmol.js for the browser check, if they can be had; without them the check is skipped, and the next `make test` tries again.
$(BROWSER): $(STAMP) .ci/browser.sh
	@.ci/browser.sh

export: $(STAMP) # notebooks to package, cleaned; README, sidebar and reference with them
	$(BIN)/nbdev_export
	$(BIN)/nbdev_clean
	$(BIN)/python .ci/readme.py
	$(BIN)/python .ci/docs.py --refresh

readme: $(STAMP)
	@$(BIN)/python .ci/readme.py

docs: $(STAMP) # the site's sources in _proc; the site itself in _docs if Quarto is installed
	@$(BIN)/python .ci/docs.py

constraints: # resolve every version anew, in an environment of its own
	rm -rf $(VENV)-new && $(PYTHON) -m venv $(VENV)-new
	$(VENV)-new/bin/python -m pip install --quiet --upgrade pip setuptools wheel
	$(VENV)-new/bin/python -m pip install --quiet torch==2.13.0
	$(VENV)-new/bin/python -m pip install --quiet --no-build-isolation -e '.[dev]'
	{ sed -n '/^#/p' constraints.txt; $(VENV)-new/bin/python -m pip freeze --all --exclude-editable | sed 's/^torch==\([^+]*\)+.*/torch==\1/' | LC_ALL=C sort -f; } > constraints.new
	mv constraints.new constraints.txt && rm -rf $(VENV)-new

clean: # what the commands above made, except the environment and demo/
	rm -rf _docs _proc build dist *.egg-info nbs/nbdev.yml
	find cryosphere_nb nbs \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
