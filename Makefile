.PHONY: setup demo test bench docs recipes package clean

setup:                  ## install whatever is missing
	@scripts/setup

demo: setup             ## unmix Indian Pines, headless
	@scripts/demo

test: setup             ## the whole suite
	@scripts/test

bench: setup            ## speed and memory, as ratios within one run
	@.venv/bin/python benchmarks/streaming.py
	@.venv/bin/python benchmarks/fcls_speed.py
	@.venv/bin/python benchmarks/curhu_table8.py

docs: setup             ## the pages of help, in docs/html
	@scripts/docs

recipes: setup          ## the recipes' pictures and numbers, from runs
	@scripts/recipes

package: setup          ## the zip that QGIS installs, in dist/
	@.venv/bin/python scripts/package.py

clean:                  ## everything that setup, demo and test made
	rm -rf .venv .venv-qgis .cache demo-output dist docs/html
