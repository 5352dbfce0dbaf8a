"""The laws of the house hold, and each of them bites: planted breaches are found, innocent lines pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.house import effect_laws, import_laws, safety_laws, shape_laws, text_laws
from tests.house.innocent import INNOCENT
from tests.house.laws import Law
from tests.house.planted_forms import FORMS
from tests.house.planted_imports import IMPORTS
from tests.house.tree import read_house

HOUSE = read_house()
LAWS: dict[str, Law] = {
    law.__name__: law
    for law in (
        import_laws.imports_can_be_read,
        import_laws.rows_are_kept,
        import_laws.product_knows_no_lab,
        import_laws.packages_have_rooms,
        import_laws.no_circles,
        shape_laws.files_and_functions_are_short,
        shape_laws.arguments_are_few,
        shape_laws.classes_are_one_deep,
        shape_laws.names_are_in_place,
        safety_laws.nothing_runs_from_outside,
        effect_laws.nothing_happens_on_import,
        effect_laws.nothing_is_global,
        effect_laws.library_is_silent,
        text_laws.nothing_is_left_over,
        text_laws.nobody_asks_whether_it_is_tiny,
    )
}


PLANTED = [(law, *plant) for law, plants in (IMPORTS | FORMS).items() for plant in plants]


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_the_house_keeps_its_laws(law):
    breaches = [str(breach) for module in HOUSE.modules.values() for breach in law(module, HOUSE)]
    assert not breaches, "\n".join([law.__doc__.partition("\n")[0], *sorted(breaches)])


def test_folders_are_in_place():
    assert not list(shape_laws.folders_are_in_place(HOUSE))


@pytest.mark.parametrize(("law", "path", "text"), PLANTED)
def test_a_planted_breach_is_found(law, path, text):
    house, module = HOUSE.with_file(path, text)
    assert list(LAWS[law](module, house)), f"{law} lets pass:\n{text}"


@pytest.mark.parametrize(("path", "text"), INNOCENT)
def test_innocent_lines_pass(path, text):
    house, module = HOUSE.with_file(path, text)
    breaches = [f"{name}: {breach}" for name, law in LAWS.items() for breach in law(module, house)]
    assert not breaches


@pytest.mark.parametrize(
    "path", ["hermes_stream/utils/x.json", "hermes_lab/helpers/__init__.py", "hermes_more/a.py"]
)
def test_a_planted_folder_is_found(path):
    house, _ = HOUSE.with_file(path, "")
    assert list(shape_laws.folders_are_in_place(house))


def test_no_test_reads_outside_the_repository():
    for file in Path(__file__).parent.rglob("*.py"):
        if file != Path(__file__):
            assert "shared/" not in file.read_text(encoding="utf-8"), file


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, hermes_stream; print({'torch', 'transformers', 'av', 'numpy'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


def test_every_public_name_can_be_imported():
    import hermes_stream

    for public in hermes_stream.__all__:
        assert getattr(hermes_stream, public) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = hermes_stream.nothing
