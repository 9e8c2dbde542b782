"""The pages of clusters, species and doubtful labels: one file each, every picture once, and they work in a browser."""

import base64
import csv
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from birdsearch.duplicates.verification import close_order
from birdsearch.export.html import mapped, pictures, plots
from birdsearch.export.html.album import Album, for_map
from birdsearch.export.html.pictures import Origin
from birdsearch.export.html.species import audit_page, clusters_page, species_page
from birdsearch.records import (
    AuditReport,
    Cluster,
    ClusterReport,
    Confusion,
    Photo,
    Provenance,
    SpeciesCount,
    SpeciesEntry,
    SpeciesReport,
    Suspect,
)

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium to open the pages with")


@pytest.fixture
def album(tmp_path: Path) -> Album:
    """Six photos: three Wrens, two Robins, one without a label."""
    photos = {}
    for number, label in enumerate(("Wren", "Wren", "Wren", "Robin", "Robin", None), start=1):
        path = tmp_path / f"{number}.jpg"
        Image.new("RGB", (160, 120), (30 * number, 90, 200 - 20 * number)).save(path)
        source = "label" if label else None
        photos[number] = Photo(number, str(path), label=label, species=label, species_source=source)
    places = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    return Album(photos, list(photos), places)


def clustered() -> ClusterReport:
    figures = {"ami": 0.61, "ari": 0.5, "purity": 0.8}
    clusters = (
        Cluster(0, (1, 2, 3, 4), (2, 1, 3), "Wren", 0.75, {"Wren": 3, "Robin": 1}),
        Cluster(1, (5, 6), (5, 6), "Robin", 1.0, {"Robin": 1}),
    )
    return ClusterReport(clusters, (6,), figures, "Leiden communities", 0.1)


def compared() -> SpeciesReport:
    entries = (
        SpeciesEntry("Robin", 2, 0.8, "Wren", 0.7, 0.5, (4, 5), (4,)),
        SpeciesEntry("Wren", 3, None, None, None, None, (2,), ()),
    )
    return SpeciesReport(entries, (Confusion("Robin", "Wren", 2, 0.4, ((4, 1), (5, 99))),), 0.1, SpeciesCount(2))


def doubted(album: Album) -> AuditReport:
    first = Suspect(album.photos[4], "Robin", "Wren", 0.9, ("neighbours disagree: 3 of 3 show Wren",), (1, 2, 77))
    return AuditReport((first, Suspect(album.photos[1], "Wren", None, 0.4, ("outside the checklist",))), 5, 0.1)


def pages(album: Album) -> dict[str, str]:
    return {
        "clusters": clusters_page(clustered(), album),
        "species": species_page(compared(), album),
        "audit": audit_page(doubted(album), album),
    }


def data_of(page: str) -> Any:
    """The table that the script of a page reads."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found.group(1))


def body_of(page: str) -> str:
    """What a page shows, without its data and scripts."""
    return page.split('<script type="application/json"')[0]


def test_every_picture_is_in_the_page_once(album: Album) -> None:
    for name, page in pages(album).items():
        uris = [photo["uri"] for photo in data_of(page)["photos"].values()]
        assert len(uris) == 6, name
        assert all(page.count(uri) == 1 for uri in uris), name
        assert "data:image" not in body_of(page)


def test_pages_load_nothing_and_run_only_their_own_scripts(album: Album) -> None:
    for page in pages(album).values():
        policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
        assert policy is not None
        assert "default-src 'none'" in policy.group(1)
        assert policy.group(1).count("sha256-") == 2
        assert "unsafe-eval" not in policy.group(1)
        assert not re.search(r"<link|<script[^>]+src=|<img[^>]+src=|@import", body_of(page))


def test_clusters_page_names_mixed_species_and_outliers(album: Album) -> None:
    page = body_of(clusters_page(clustered(), album))
    assert "6 photos in 2 clusters; 80 % of the labelled photos show the main species of their cluster." in page
    assert re.search("<details><summary>How they were made</summary>.*Leiden communities.*AMI 0.61, ARI 0.50", page)
    assert "75 % one species" in page
    assert "<li>Robin 1</li>" in page
    assert 'class="other"' in page  # the Robin among the Wrens
    assert re.search(r'id="c1"', page)
    assert "1 photo unlike all others, the most unusual first" in page
    assert 'class="sheet pure" id="c1"' in page


def test_clusters_can_be_coloured_by_species_and_by_cluster(album: Album) -> None:
    table = data_of(clusters_page(clustered(), album))["map"]
    assert table["ids"] == [1, 2, 3, 4, 5, 6]
    assert table["names"][5] == mapped.NAMELESS
    label, group = table["colours"]["label"], table["colours"]["group"]
    assert len({label[0], label[1], label[2]}) == 1 != len({label[0], label[3]})
    assert label[5] == plots.UNKNOWN
    assert group[0] == group[3] != group[4]


def test_species_page_shows_pairs_side_by_side(album: Album) -> None:
    page = species_page(compared(), album)
    shown = body_of(page)
    assert "5 photos of 2 species" in shown
    assert "2 photos, 40 % of both" in shown
    assert "alike 0.80" in shown
    assert "mixed up 50 %" in shown
    assert "nearest: Wren 0.70" in shown
    assert 'data-photo="99"' not in shown  # a photo that is gone takes its pair along
    cells = json.dumps(data_of(page)["matrix"])
    assert "2 photos, 40 % of both" in cells
    assert '"p1"' in cells


def test_audit_page_gives_reasons_and_takes_corrections(album: Album) -> None:
    page = audit_page(doubted(album), album)
    shown = body_of(page)
    assert "2 labels of 5 may be wrong" in shown
    assert "<s>Robin</s> → Wren" in shown
    assert "neighbours disagree: 3 of 3 show Wren" in shown
    assert 'data-correct="4"' in shown
    assert 'data-take="Wren"' in shown
    assert "photos with a ring have a doubtful label" in shown
    assert 'data-photo="77"' not in shown
    assert '"s4"' in json.dumps(data_of(page)["matrix"])


def test_the_audit_page_saves_what_another_index_can_check(album: Album) -> None:
    provenance = Provenance("0123abcd", (str(Path(album.photos[4].path).parent),))
    origin = Origin("/tmp/my index")
    page = unescape(body_of(audit_page(doubted(album), album, origin=origin, provenance=provenance)))
    assert page.count("birdsearch label --from corrections.csv --index '/tmp/my index'") == 2
    rows = [json.loads(row) for row in re.findall(r'data-row="(.*?)" autocomplete', page)]
    assert rows[0] == {"id": 4, "sha256": None, "index_id": "0123abcd", "relative_path": "4.jpg", "label": "Robin"}
    assert page.count(">Label is right</button>") == 2


def key_of(page: str) -> str:
    found = re.search('data-page="([^"]*)"', page)
    assert found is not None
    return found[1]


def test_what_is_entered_is_kept_under_the_index_and_the_labels_of_the_page(album: Album) -> None:
    report = doubted(album)
    one, other = Provenance("0123abcd", ("/a",)), Provenance("4567cdef", ("/a",))
    key = key_of(audit_page(report, album, provenance=one))
    assert key.startswith("0123abcd ")
    assert key == key_of(audit_page(report, album, "Again", provenance=one, origin=Origin("/moved")))
    fewer = replace(report, suspects=report.suspects[:1])
    assert len({key, key_of(audit_page(report, album, provenance=other)), key_of(audit_page(fewer, album))}) == 3


def test_a_photo_is_shown_once_for_a_species(album: Album) -> None:
    page = body_of(species_page(compared(), album))
    assert page.count('data-photo="4"') == 2  # in its pair, and as a typical photo of its species
    assert "Closest to another species" not in page
    entries = (replace(compared().species[0], medoids=(5,)),)
    assert "Closest to another species" in species_page(replace(compared(), species=entries), album)


def test_the_list_of_species_leads_to_the_cards(album: Album) -> None:
    jumps = {name: re.findall(r'<li><a href="#(.*?)">(.*?)</a>', body_of(page)) for name, page in pages(album).items()}
    assert jumps == {
        "clusters": [("c0", "Robin"), ("c0", "Wren")],
        "species": [("e1", "Robin"), ("e2", "Wren")],
        "audit": [("s4", "Robin"), ("s4", "Wren")],
    }
    for page in pages(album).values():
        assert set(re.findall('href="#([^"]*)"', page)) <= set(re.findall('id="([^"]*)"', page))


def many(album: Album) -> AuditReport:
    """As many doubtful labels as fill three folds; all but the last one are Robins."""
    suspects = [
        Suspect(replace(album.photos[4], id=number), "Robin", None, 0.5, ("outside the checklist",))
        for number in range(101, 160)
    ]
    return AuditReport((*suspects, Suspect(album.photos[1], "Wren", "Crane", 0.4, ("classifier disagrees",))), 99)


def test_many_cards_are_folded_and_the_plots_come_last(album: Album) -> None:
    page = body_of(audit_page(many(album), album))
    folds = re.findall(r'<details class="fold"( open)?>\s*<summary>(.*?)</summary>', page)
    assert folds == [(" open", "1 to 24 of 60"), ("", "25 to 48 of 60"), ("", "49 to 60 of 60")]
    assert "fold" not in re.findall('<details class="([^"]*)"', pages(album)["audit"])
    assert page.index('id="s1"') < page.index('data-plot="matrix"') < page.index('data-plot="map"')


def test_reports_about_nothing_are_pages_that_say_so(album: Album) -> None:
    assert "No clusters" in clusters_page(ClusterReport(), Album({}))
    assert "No photo has a label" in species_page(SpeciesReport(), Album({}))
    assert "No label looks doubtful" in audit_page(AuditReport(), Album({}))
    one = Album({6: album.photos[6]}, [6], np.zeros((1, 2), np.float32))
    alone = ClusterReport((Cluster(0, (6,), (6,), None, None, {}),))
    assert "1 photo in 1 cluster" in clusters_page(alone, one)


def test_nasty_names_stay_texts(album: Album, tmp_path: Path) -> None:
    nasty = "</script><script>alert(1)</script> $$x$$ \udcff\n"
    path = os.fsdecode(os.fsencode(tmp_path) + b"/w\xe4<b>.jpg")
    shutil.copy(album.photos[1].path, path)
    photos = {**album.photos, 1: Photo(1, path, label=nasty, species=nasty, species_source="label")}
    held = Album(photos, album.ids, album.coordinates)
    report = ClusterReport((Cluster(0, (1, 4), (1,), nasty, 0.5, {nasty: 1, "Robin": 1}),), (), {}, nasty)
    suspect = AuditReport((Suspect(photos[1], nasty, nasty, 0.5, (nasty,), (4,)),), 1)
    entry = SpeciesReport((SpeciesEntry(nasty, 1, 0.5, nasty, 0.5, 0.5, (1,), (1,)),),
                          (Confusion(nasty, "Robin", 1, 0.5, ((1, 4),)),))  # fmt: skip
    for page in (clusters_page(report, held), audit_page(suspect, held), species_page(entry, held)):
        page.encode("utf-8")
        assert page.count("</script>") == 3
        assert "<b>.jpg" not in body_of(page)
        assert data_of(page)["photos"]["1"]["uri"].startswith("data:image/jpeg")


def test_pictures_that_only_the_map_shows_are_left_out_first(album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "TOGETHER", 1)
    whole = data_of(species_page(compared(), album))["photos"]
    monkeypatch.setattr(mapped, "PAGE_BYTES", sum(len(whole[number]["uri"]) for number in "1245") + 10)
    page = species_page(compared(), album)
    photos = data_of(page)["photos"]
    assert [number for number, photo in photos.items() if photo["uri"] is None] == ["3", "6"]
    assert "2 photos on the map have no picture here" in page


def test_a_map_of_many_keeps_those_that_the_galleries_show() -> None:
    photos = [Photo(number, f"/{number}.jpg") for number in range(1, 101)]
    assert for_map(photos, most=200) == list(range(1, 101))
    chosen = for_map(photos, [77, 5, 999], most=10)
    assert len(chosen) == 10
    assert {77, 5} <= set(chosen)
    assert chosen == sorted(chosen)
    assert len(for_map(photos, range(1, 100), most=10)) == 10


def test_close_order_brings_pairs_together() -> None:
    order = close_order(5, np.array([(0, 4), (1, 3)])).tolist()
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert abs(order.index(0) - order.index(4)) == 1
    assert abs(order.index(1) - order.index(3)) == 1


def opened(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What Chromium makes of a page."""
    command = [
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--disable-component-update", f"--user-data-dir={page.parent / 'profile'}", "--enable-logging=stderr", "--v=0",
        *options, "--virtual-time-budget=5000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line and "setting log level" not in line]
    assert said == []
    return done


@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize("name", ["clusters", "species", "audit"])
def test_page_works_in_a_browser_and_loads_nothing(album: Album, tmp_path: Path, name: str) -> None:
    net = tmp_path / "net.json"
    page = tmp_path / f"{name}.html"
    page.write_text(
        acting(pages(album)[name], "for (const fold of document.querySelectorAll('details')) fold.open = true")
    )
    done = opened(page, f"--log-net-log={net}")
    for plot in ("map", "matrix"):
        assert re.search(rf'id="{plot}"[^>]*>\s*<div class="bk-', done.stdout), plot
    assert "<img" in done.stdout
    assert not re.search(r'<img data-photo="\d+" (?![^>]*src="data:)[^>]*>', done.stdout)
    asked = re.findall(r'"url":"((?:https?|wss?)://[^"]*)"', net.read_text(encoding="utf-8", errors="replace"))
    assert not [url for url in asked if re.search("bokeh|jsdelivr|mathjax|googleapis.com/maps", url)], asked


def acting(page: str, code: str) -> str:
    """The page with a script at its end that does what a person would."""
    code = f"{{ {code} }}"  # its names are not those of the page
    name = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    page = page.replace("; script-src ", f"; script-src 'sha256-{name}' ", 1)
    return page.replace("</body>", f"<script>{code}</script></body>")


# Corrects one label and confirms another, reloads, and writes down what the page then is and saves.
REVIEWS = """
const field = (id) => document.querySelector(`[data-correct="${id}"]`);
if (!sessionStorage.reloaded) {
  sessionStorage.reloaded = "yes";
  field(101).value = "Wren";
  field(101).dispatchEvent(new Event("input", { bubbles: true }));
  field(1).parentElement.parentElement.querySelector("button:last-of-type").click();
  location.reload();
} else {
  let saved;
  URL.createObjectURL = (file) => (saved = file, "data:,");
  URL.revokeObjectURL = () => {};
  document.getElementById("save").click();
  const shown = document.body.appendChild(document.createElement("pre"));
  saved.text().then((text) => { shown.textContent = text; });
}
"""

# Shows one species only, and then follows a link to another one.
FINDS = """
const find = document.getElementById("find");
const seen = () => [...document.querySelectorAll("article")].filter((card) => card.checkVisibility()).length;
const counts = [seen()];
find.value = "crane";
find.dispatchEvent(new Event("input"));
counts.push(seen(), document.getElementById("found").textContent);
find.value = "";
find.dispatchEvent(new Event("input"));
counts.push(seen());
document.querySelector('a[href="#s1"]').click();
counts.push(seen(), document.activeElement.id);
document.body.append(Object.assign(document.createElement("pre"), { textContent: counts.join("|") }));
"""

REFUSES = """
const hidden = document.getElementById("refused").hidden;
document.body.append(Object.assign(document.createElement("pre"), { textContent: hidden }));
"""


@pytest.mark.browser
@needs_chromium
def test_what_is_entered_survives_a_reload_and_is_saved(album: Album, tmp_path: Path) -> None:
    page = tmp_path / "audit.html"
    page.write_text(acting(audit_page(many(album), album), REVIEWS))
    shown = opened(page).stdout
    saved = list(csv.DictReader(io.StringIO(unescape(shown.split("<pre>")[1].split("</pre>")[0]))))
    given = [(row["id"], row["label"], row["species"], row["confirmed"]) for row in saved]
    assert given == [("101", "Robin", "Wren", "yes"), ("1", "Wren", "Wren", "yes")]
    assert re.findall('aria-pressed="true">([^<]*)', shown) == ["Label is right"]
    assert "2 to save" in shown


@pytest.mark.browser
@needs_chromium
def test_show_only_leaves_the_cards_of_a_species_and_a_link_opens_their_fold(album: Album, tmp_path: Path) -> None:
    page = tmp_path / "audit.html"
    page.write_text(acting(audit_page(many(album), album), FINDS))
    assert "<pre>24|1|1 of 60 cards|24|36|s1</pre>" in opened(page).stdout


@pytest.mark.browser
@needs_chromium
def test_a_browser_that_keeps_nothing_says_so(album: Album, tmp_path: Path) -> None:
    page = tmp_path / "audit.html"
    page.write_text(acting(audit_page(many(album), album), REFUSES))
    assert "<pre>true</pre>" in opened(page).stdout
    assert "<pre>false</pre>" in opened(page, "--disable-local-storage").stdout
