"""Configuration: precedence, types, and errors that name the nearest key."""

import re
from pathlib import Path

import pytest

from wtal.config import NEEDS, Config, dump_config, known_keys, load_config
from wtal.errors import WtalError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").rglob("*.yaml"))


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return path


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert load_config(written(tmp_path, "")) == load_config() == Config()


def test_the_command_line_wins_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, "train: {steps: 7, batch_size: 3}\n")
    config = load_config(path, ["train.steps=9"])
    assert (config.train.steps, config.train.batch_size, config.train.seed) == (9, 3, 0)


def test_what_is_dumped_reads_back_unchanged(tmp_path: Path) -> None:
    config = load_config(None, ["train.lr=1e-4", "data.streams=[rgb, flow]", "localize.nms=soft"])
    assert load_config(written(tmp_path, dump_config(config))) == config


def test_yaml_reads_1e_4_as_text_and_we_as_a_number() -> None:
    assert load_config(None, ["train.lr=1e-4"]).train.lr == 1e-4
    assert load_config(None, ["train.lr=auto"]).train.lr == "auto"
    assert load_config(None, ["train.weight_decay=0"]).train.weight_decay == 0.0


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_config_loads_and_opens_with_what_it_is(path: Path) -> None:
    load_config(path)
    assert path.read_text().startswith("# ")


def test_the_default_config_is_the_defaults() -> None:
    assert load_config(next(p for p in CONFIGS if p.name == "basnet.yaml")) == Config()


def test_the_faithful_config_turns_every_quirk_on() -> None:
    config = load_config(next(p for p in CONFIGS if p.name == "basnet_faithful.yaml"))
    assert all(vars(config.compat).values())
    assert (config.loss.cls_scale, config.loss.norm) == (1.0, "sum")
    assert (config.data.resample, config.data.length) == ("grid", 750)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trian: {steps: 5}", "unknown key 'trian'; the nearest known section is 'train'"),
        ("train: {step: 5}", r"unknown key 'train.step'; the nearest known one is 'train.steps'\."),
        ("steps: 5", r"unknown key 'steps'; the nearest known one is 'train.steps'\."),
        ("zzz: 5", "known sections are data, features, model, loss"),
        ("train: {steps: many}", r"train.steps is 'many'; expected an integer or 'auto'\."),
        ("train: {steps: 2.5}", r"train.steps is 2.5; expected an integer or 'auto'\."),
        ("train: {steps: true}", r"train.steps is True; expected an integer or 'auto'\."),
        ("train: {steps: 0}", r"train.steps is 0; expected at least 1\."),
        ("train: {lr: .nan}", "train.lr is nan; expected a number or 'auto'"),
        ("train: {lr: -1}", "train.lr is -1.0; expected 'auto' or a number above 0"),
        ("data: {resample: both}", "expected 'native' or 'grid'"),
        ("data: {streams: rgb}", "data.streams is 'rgb'; expected a list"),
        ("train: 5", "'train' is 5; expected a section with keys"),
        ("localize: {thresholds: []}", "localize.thresholds is empty"),
        ("localize: {thresholds: [0, x]}", "expected a list"),
        (
            "localize: {thresholds: [0, 1]}",
            r"thresholds is \[0.0, 1.0\]; expected levels in \[0, 1\)",
        ),
        ("localize: {thresholds: [-.1]}", r"expected levels in \[0, 1\)"),
        ("localize: {class_threshold: 1.5}", r"class_threshold is 1.5; expected \[0, 1\]"),
        ("loss: {norm_weight: -1}", r"loss.norm_weight is -1.0; expected at least 0"),
        ("? [a, b]\n: 1", "line 1 has a list or mapping for a key"),
        ("train: {? {a: 1} : 1}", "line 1 has a list or mapping for a key"),
        ("- 1", "holds a list; expected"),
        ("a: [1", "is not a plain YAML file"),
        ("a: &x 1\nb: *x", r"uses the YAML alias \*x"),
        ("train: {steps: 1, steps: 2}", "repeats the key 'steps'"),
        ("!!python/object/apply:os.system ['true']", "is not a plain YAML file"),
    ],
)
def test_a_faulty_file_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(WtalError, match=message) as error:
        load_config(written(tmp_path, text))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.steps", "expected a.b=value"),
        ("train.steps=", "train.steps is None"),
        ("train.steps.deep=1", "expected an integer"),
        ("train.steps=[", "is not a plain YAML value"),
        ("train.stepz=3", "nearest known one is 'train.steps'"),
        ("train.steps=" + 5000 * "[", "nested deeper than 32"),
        ("train.steps=" + 5000 * "[" + 5000 * "]", "nested deeper than 32"),
        ("train={steps: 1, steps: 2}", "repeats the key 'steps'"),
        ("train=[&x 1, *x]", r"uses the YAML alias \*x"),
        ("train={? [a] : 1}", "has a list or mapping for a key"),
    ],
)
def test_a_faulty_override_is_one_sentence(override: str, message: str) -> None:
    with pytest.raises(WtalError, match=message) as error:
        load_config(None, [override])
    assert len(str(error.value)) < 300


def test_an_override_that_nothing_reads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WtalError, match=r"-o localize.nms_threshold=0.5 does nothing with local"):
        load_config(None, ["localize.nms_threshold=0.5"])
    with pytest.raises(WtalError, match=r"resample=native; add -o data.resample=grid\."):
        load_config(None, ["data.length=100"])
    load_config(None, ["localize.nms_threshold=0.5", "localize.nms=hard"])
    load_config(written(tmp_path, "localize: {nms_threshold: .5}"))  # for another day
    for name, (other, _) in NEEDS.items():
        assert {name, other} <= set(known_keys())


@pytest.mark.parametrize(
    ("override", "place"),
    [
        ("train.stepz=3", "-o train.stepz=3: unknown key"),
        ("train.steps=x", "-o train.steps=x: train.steps is 'x'"),
        ("train={lr: x}", "-o train={lr: x}: train.lr is 'x'"),
        ("train.steps=3", "c.yaml: data.length is 'x'"),
    ],
)
def test_an_error_blames_the_override_or_the_file_that_made_it(
    tmp_path: Path, override: str, place: str
) -> None:
    bad = "data: {length: x}" if override == "train.steps=3" else "train:\n"
    with pytest.raises(WtalError, match=re.escape(place)):
        load_config(written(tmp_path, bad), [override])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("wrong.key=1", "-o wrong.key=1: unknown key 'wrong'; known sections are data, features"),
        ("optim.lr=1", "-o optim.lr=1: unknown key 'optim'; the nearest known one is 'train.lr'."),
        ("a.b.steps=1", "-o a.b.steps=1: unknown key 'a'; the nearest known one is 'train.steps'."),
    ],
)
@pytest.mark.parametrize("text", [None, "train:\n"])
def test_a_section_that_only_an_override_names_is_blamed_on_it_and_the_key_is_looked_for(
    tmp_path: Path, text: str | None, override: str, message: str
) -> None:
    path = None if text is None else written(tmp_path, text)
    with pytest.raises(WtalError, match="^" + re.escape(message)):
        load_config(path, [override])


def test_a_section_that_the_file_misspells_is_blamed_on_the_file(tmp_path: Path) -> None:
    with pytest.raises(WtalError, match=r"c\.yaml: unknown key 'trian'"):
        load_config(written(tmp_path, "trian: {steps: 5}"), ["trian.lr=1"])


def test_a_missing_and_a_huge_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WtalError, match="cannot be read: No such file"):
        load_config(tmp_path / "none.yaml")
    with pytest.raises(WtalError, match="a config has at most"):
        load_config(written(tmp_path, "#" * 1_000_001))


def test_every_key_is_documented_where_it_is_declared() -> None:
    """A field's docstring stands on the line below it; comments and names are not enough."""
    import ast
    import inspect

    from wtal import compat, context, data, localize, losses, model, schedule, validation

    self_explaining = {"seed", "weight_decay"}
    undocumented = []
    for module in (compat, context, data, localize, losses, model, schedule, validation):
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.ClassDef) and node.name.removesuffix("Config") != node.name:
                for field, after in zip(node.body, [*node.body[1:], node.body[0]], strict=True):
                    if isinstance(field, ast.AnnAssign) and not (
                        isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                    ):
                        undocumented.append(ast.unparse(field.target))
    assert set(undocumented) <= self_explaining
    assert len(known_keys()) > 40
