"""An installed wheel finds the styles and the bundled weights without the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]

PROBE = """
import pipeline.config.catalog
from pipeline.encoders.fetch import weights_path
for name in pipeline.config.catalog.shipped_styles():
    for image in pipeline.config.catalog.load_style(name).style.images:
        assert image.path.is_file(), image.path
assert (pipeline.config.catalog.configs_path() / "template.yaml").is_file()
assert weights_path("compact").is_file()
print(pipeline.__file__, *pipeline.config.catalog.shipped_styles(), sep="\\n")
"""


def test_installed_wheel_finds_its_styles_and_weights(tmp_path: Path) -> None:
    build = "import sys, hatchling.build; print(hatchling.build.build_wheel(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (manual,) = site.glob("tempera-*.data/data/share/man/man1/tempera.1")
    assert manual.read_bytes() == (ROOT / "docs/tempera.1").read_bytes()
    assert "tempera = pipeline.__main__:main" in next(site.glob("*.dist-info/entry_points.txt")).read_text()
    away = tmp_path / "away"
    away.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=away, env=environment, check=True, capture_output=True, text=True
    )
    where, *styles = done.stdout.splitlines()
    assert Path(where).is_relative_to(site)
    assert styles == sorted(path.stem for path in (ROOT / "configs").glob("*.yaml") if path.stem != "template")
