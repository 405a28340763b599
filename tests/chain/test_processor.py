"""The same bytes on every processor: the stages up to the features, with the processor's features switched off in turn.

numpy, OpenBLAS and the C library choose their code by the processor; each can be set to take it for an older one. What
this machine's processor lacks cannot be switched on: the second half of the tests reads the code instead.
"""

import ast
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from support.project import ROOT, Project, copy_of_the_project

from pipeline.runtime import code_closure
from pipeline.storage import store

PROCESSORS = {
    "as it is": {},
    "without AVX-512": {"NPY_DISABLE_CPU_FEATURES": "X86_V4", "OPENBLAS_CORETYPE": "Haswell"},
    "without AVX2 and FMA": {
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4",
        "OPENBLAS_CORETYPE": "Prescott",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-FMA,-FMA4,-AVX_Fast_Unaligned_Load",
        "ARROW_USER_SIMD_LEVEL": "NONE",
    },
}
STAGES = {
    "acquire": [[]],
    "ingest": [[]],
    "features": [["--model", "area_risk_28d"], ["--model", "sensor_threat"]],
}
OUTPUTS = {
    "acquire": ("data/raw", "data/truth"),
    "ingest": ("data/tables", "data/quarantine"),
    "features": ("data/features",),
}


def of_this_machine(environment: dict[str, str]) -> dict[str, str]:
    """Return the environment without the names that this machine's numpy could not switch off, so would warn of."""
    dispatched = set(np.show_config(mode="dicts")["SIMD Extensions"].get("found", []))
    disabled = environment.get("NPY_DISABLE_CPU_FEATURES", "").split()
    known = " ".join(name for name in disabled if name in dispatched)
    others = {name: value for name, value in environment.items() if name != "NPY_DISABLE_CPU_FEATURES"}
    return others | ({"NPY_DISABLE_CPU_FEATURES": known} if known else {})


@pytest.fixture(scope="module")
def digests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict[str, str]]]:
    """Return, by processor and stage, the digest of every file that the stage wrote for the small theatre."""
    projects = {}
    for name in PROCESSORS:
        projects[name] = copy_of_the_project(tmp_path_factory.mktemp("processor"))
        projects[name].edit("params.yaml", "size: theatre", "size: small")
    with ThreadPoolExecutor(2) as at_once:
        return dict(zip(projects, at_once.map(_digests, projects.values(), PROCESSORS.values()), strict=True))


def _digests(project: Project, environment: dict[str, str]) -> dict[str, dict[str, str]]:
    for stage, runs in STAGES.items():
        for options in runs:
            command = (sys.executable, "-m", f"pipeline.{stage}", "--dataset", "simulated", *options)
            project.succeed(*command, **of_this_machine(environment))
    return {
        stage: {
            path.relative_to(project.root).as_posix(): store.digest(path)
            for folder in folders
            for path in sorted((project.root / folder).rglob("*"))
            if path.is_file()
        }
        for stage, folders in OUTPUTS.items()
    }


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("processor", [name for name, environment in PROCESSORS.items() if environment])
def test_a_stage_writes_the_same_bytes_on_another_processor(
    digests: dict[str, dict[str, dict[str, str]]], processor: str, stage: str
) -> None:
    expected, got = digests["as it is"][stage], digests[processor][stage]
    assert len(expected) > 1
    assert {name for name in expected | got if expected.get(name) != got.get(name)} == set()


@pytest.mark.skipif(sys.platform != "linux", reason="needs the settings of numpy for Linux")
def test_the_processors_differ() -> None:
    """Else the test above would compare a processor with itself."""
    script = "import numpy._core._multiarray_umath as m; print(sorted(k for k, v in m.__cpu_features__.items() if v))"
    results = set()
    for name in ("as it is", "without AVX2 and FMA"):
        project = Project(ROOT)
        results.add(project.succeed(sys.executable, "-c", script, **of_this_machine(PROCESSORS[name])))
    features = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    assert len(results) == (2 if features else 1)


LAST_BIT = {
    *(
        "exp",
        "exp2",
        "expm1",
        "log",
        "log2",
        "log10",
        "log1p",
        "logaddexp",
        "logaddexp2",
        "power",
        "float_power",
        "cbrt",
    ),
    *("sin", "cos", "tan", "arcsin", "arccos", "arctan", "arctan2", "sinh", "cosh", "tanh", "arcsinh", "arccosh"),
    *("arctanh", "hypot", "asin", "acos", "atan", "atan2", "pow", "float_power", "sinc", "i0", "geomspace", "logspace"),
    *("dot", "vdot", "inner", "outer", "matmul", "vecdot", "matvec", "vecmat", "tensordot", "einsum", "linalg"),
    *("kron", "cov", "corrcoef", "convolve", "correlate", "polyfit", "lognormal", "fsum", "dist", "expit", "logit"),
    *("logsumexp", "xlogy", "ln", "logb", "special", "optimize", "stats", "multivariate_normal"),
}
"""Attributes of numpy, math, scipy or a random generator whose last bit the processor or the C library decides."""

NUMERIC = {"np", "numpy", "math", "scipy", "random", "sparse", "pc"}

WHY_NOT = {
    ("pipeline/simulate/oracle.py", "@"): (1, "sparse matrices: scipy sums row by row, the same on every x86-64"),
    ("pipeline/simulate/campaigns.py", "@"): (2, "as in the oracle"),
    ("pipeline/simulate/process.py", "@"): (3, "as in the oracle"),
    ("pipeline/features/history_features.py", "@"): (
        3,
        "as in the oracle; a ring's weights are 1: nothing is rounded",
    ),
    ("pipeline/features/hawkes.py", "@"): (1, "as in the oracle"),
    ("pipeline/model/catalogue.py", "@"): (1, "adds up what features contribute: the features' stage does not call it"),
}
"""What stands in the code nevertheless: how often, and why it does no harm."""


def guarded() -> list[Path]:
    """Return every module of ours that the stages up to the features may run."""
    modules = code_closure.closure(*(f"pipeline.{stage}.__main__" for stage in STAGES))
    return [file.relative_to(ROOT) for file in modules.values()]


def processor_dependent(source: str) -> Iterator[str]:
    """Yield the operations of a module whose last bit the processor may decide."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.BinOp(op=ast.MatMult()) | ast.AugAssign(op=ast.MatMult()):
                yield "@"
            case ast.BinOp(op=ast.Pow(), left=ast.Constant(value=int()), right=ast.Constant(value=int())):
                pass
            case ast.BinOp(op=ast.Pow()) | ast.AugAssign(op=ast.Pow()):
                yield "**"
            case ast.Attribute(attr=name, value=ast.Name(id=module)) if module in NUMERIC and name in LAST_BIT:
                yield name
            case ast.Attribute(attr="dot" | "lognormal" | "linalg" | "multivariate_normal" as name):
                yield name
            case ast.Call(func=ast.Attribute(attr="argsort" | "sort_values" as name)) if not is_stable(node):
                yield name
            case ast.Call(func=ast.Name(id="pow")):
                yield "pow"
            case ast.ImportFrom(module=str(module), names=names) if module.split(".")[0] in ("numpy", "math", "scipy"):
                parts = {*module.split("."), *(alias.name for alias in names)}
                yield from sorted(parts & LAST_BIT)


def is_stable(call: ast.Call) -> bool:
    """Return whether equal keys stay in order: pandas sorts by several columns stably, by one only on request."""
    by_several = bool(call.args) and isinstance(call.args[0], ast.List) and len(call.args[0].elts) > 1
    stable = any(
        option.arg == "kind" and isinstance(option.value, ast.Constant) and option.value.value == "stable"
        for option in call.keywords
    )
    return by_several or stable


@pytest.mark.parametrize("file", guarded(), ids=str)
def test_no_operation_is_left_to_the_processor_but_those_with_a_reason(file: Path) -> None:
    uses = list(processor_dependent((ROOT / file).read_text()))
    counted = {name: uses.count(name) for name in sorted(set(uses))}
    allowed = {name: count for (module, name), (count, _) in WHY_NOT.items() if module == file.as_posix()}
    assert counted == allowed, f"{file}: use pipeline.runtime.portable_math, or say in WHY_NOT why it does no harm"


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("y = np.exp(x)", ["exp"]),
        ("y = x @ w", ["@"]),
        ("y = x ** 2", ["**"]),
        ("y = 2 ** 20", []),
        ("y = x.dot(w)", ["dot"]),
        ("y = np.linalg.solve(a, b)", ["linalg"]),
        ("y = math.log1p(x)", ["log1p"]),
        ("from math import sin, floor", ["sin"]),
        ("from scipy.special import expit", ["expit", "special"]),
        ("y = random.lognormal(0, 1)", ["lognormal"]),
        ("y = np.argsort(x)", ["argsort"]),
        ("y = np.argsort(x, kind='stable')", []),
        ("y = np.sqrt(x) + np.square(x) + portable_math.exp(x)", []),
    ],
)
def test_the_reader_sees_what_depends_on_the_processor(line: str, names: list[str]) -> None:
    assert list(processor_dependent(line)) == names
