"""The order of the house: which package may import which."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import symspectra

PACKAGE = Path(symspectra.__file__).parent
ORDER = [
    {"errors", "modalities", "parallel"},
    {"files", "settings"},
    {"config", "groups", "simulation"},
    {"models", "spectra"},
    {"datasets"},
    {"training"},
    {"predict", "experiments"},
    {"exhibits"},
    {"cli"},
]
ASIDE = {"__init__", "__main__", "__version__"}  # the face of the package; what it offers is from all levels


def imports(path):
    """Modules that a file imports, inside its functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own(path):
    """Parts of the package that a file imports."""
    return {name.split(".")[1] for name in imports(path) if name.startswith("symspectra.")} - ASIDE


def part(path):
    """The part of the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_imports_go_downwards_only():
    level = {name: number for number, names in enumerate(ORDER) for name in names}
    files = [path for path in sorted(PACKAGE.rglob("*.py")) if part(path) not in ASIDE]
    assert {part(path) for path in files} <= set(level)
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in files
        for name in sorted(own(path) - {part(path)})
        if level[name] >= level[part(path)]
    ]
    assert wrong == []


def test_the_method_imports_torch_and_itself():
    allowed = {"torch", "jaxtyping", "numpy", "xgboost", *sys.stdlib_module_names}  # xgboost and numpy for the trees
    for path in set((PACKAGE / "models").glob("*.py")) - {PACKAGE / "models" / "registry.py"}:
        assert own(path) <= {"models"}, path.name
        assert {name.split(".")[0] for name in imports(path)} <= allowed | {"symspectra"}, path.name
        trees = {name.split(".")[0] for name in imports(path)} & {"numpy", "xgboost"}
        assert not trees or path.name == "baselines.py"


def test_simulation_never_sees_the_labels():
    """Spectra come from physics: no module of the simulation knows functional groups, nor what imports them."""
    files = sorted((PACKAGE / "simulation").glob("*.py"))
    assert len(files) > 4
    for path in files:
        names = {name for name in imports(path) if name.startswith("symspectra.")}
        assert not any(name.startswith(("symspectra.groups", "symspectra.spectra.lines")) for name in names), path.name


PROJECT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
MODULES = {"scikit-learn": {"sklearn"}, "xgboost-cpu": {"xgboost"}, "distributed": {"distributed", "dask"}}
MODULES |= {"ipywidgets": {"ipywidgets"}, "ipykernel": {"IPython"}}
FOR_NOTEBOOKS = {"experiments/notebook.py", "exhibits/explorer.py"}


def modules_of(requirements):
    """What can be imported where these are installed."""
    names = [re.match(r"[\w-]+", requirement)[0] for requirement in requirements]
    return set().union(*(MODULES.get(name, {name}) for name in names))


def at_import(node):
    """Modules that are imported as soon as the module is: not those of functions and of type checkers."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield from [child.module] if isinstance(child, ast.ImportFrom) else [alias.name for alias in child.names]
        elif not isinstance(child, ast.FunctionDef) and not (
            isinstance(child, ast.If) and "TYPE" in ast.unparse(child)
        ):
            yield from at_import(child)


def test_with_the_core_dependencies_everything_but_notebooks_and_simulation_runs():
    core, extras = modules_of(PROJECT["dependencies"]), PROJECT["optional-dependencies"]
    known = core | {"symspectra", *sys.stdlib_module_names}
    other = modules_of(sum((extras[name] for name in ("notebooks", "simulate", "trees")), []))
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        assert {module.split(".")[0] for module in imports(path)} <= known | other, name
        if name not in FOR_NOTEBOOKS:
            assert {module.split(".")[0] for module in at_import(ast.parse(path.read_text()))} <= known, name


def test_hints_name_the_command_that_installs():
    hints = [hint for path in PACKAGE.rglob("*.py") for hint in re.findall("pip install.*", path.read_text())]
    command = re.compile(r'pip install (-e "\.|"symspectra)\[(notebooks|simulate|trees)\]"')
    assert hints and all(map(command.match, hints))
