"""Figures that other programs and earlier measurements give for published files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wtal_eval import (
    Annotations,
    Detections,
    Evaluation,
    evaluate,
    read_annotations,
    read_detections,
)
from wtal_eval.corrections import take

TENTHS = tuple(j / 10 for j in range(1, 10))

# BaseballPitch .. VolleyballSpiking, the 20 classes in alphabetical order; rows .1 to .9.
NPOS = "41 488 106 98 217 138 152 388 48 36 213 135 169 142 399 144 48 141 88 120"
AP = """
.640367 .655512 .544310 .633685 .804485 .471797 .365767 .778289 .453223 .893764 .942324 .888919 .856841 .903974 .833455 .754809 .506090 .366968 .857960 .666998
.608316 .567027 .346850 .503326 .773954 .425241 .310251 .739506 .377407 .844435 .928304 .872987 .822908 .896180 .820707 .624490 .491193 .210246 .847106 .613846
.517057 .432297 .163409 .343588 .705854 .327221 .179270 .674272 .219255 .830587 .918814 .841420 .790477 .882939 .769625 .477190 .338865 .122175 .833999 .480673
.427305 .292732 .089386 .216147 .612054 .170122 .101002 .574082 .150546 .765026 .848217 .707336 .715317 .806662 .689663 .369941 .177629 .062146 .738151 .404381
.288021 .182443 .043185 .118259 .443307 .122672 .048283 .443469 .057408 .579754 .731183 .563395 .577661 .778033 .523457 .242335 .119244 .041238 .605575 .279951
.217978 .101801 .017566 .060776 .291399 .042834 .022327 .312854 .033921 .479601 .583249 .322985 .345160 .658609 .298171 .174889 .035151 .018660 .454463 .183506
.077400 .045928 .009046 .014939 .148744 .022780 .014138 .162576 .003792 .260197 .376927 .170238 .182572 .434259 .149190 .079203 .018961 .003309 .234060 .084961
.039190 .010528 .002675 .002908 .044411 .008714 .003931 .064170 .000098 .072690 .186116 .046179 .039799 .203921 .064337 .026553 .010457 .000457 .091934 .047285
.023121 .001443 .000099 .000132 .008634 .001926 .000052 .008596 .000000 .007106 .070766 .006258 .003573 .041235 .011260 .002379 .000563 .000061 .004981 .001568
"""  # noqa: E501 - the table as it is published

# The TGM file under thumos14-evalkit.
TGM_AP = """
.738787 .811196 .713278 .631939 .816453 .724739 .681559 .812398 .642034 .390419 .827095 .890989 .846831 .928518 .681898 .623019 .809160 .661150 .698574 .801134
.712950 .798048 .713278 .619904 .790997 .724739 .658859 .792163 .642034 .390419 .827095 .880455 .840769 .921321 .662401 .591865 .809160 .661150 .672127 .792199
.712950 .781160 .681689 .599053 .781723 .696370 .626168 .770062 .612466 .363283 .802222 .864603 .840769 .921321 .603234 .532335 .742436 .631861 .613024 .771592
.712950 .740067 .503220 .448919 .745534 .658245 .560254 .726043 .536561 .363283 .794229 .831569 .796826 .912999 .571118 .520910 .702879 .583776 .537393 .710385
.662166 .635961 .356908 .387213 .680338 .578458 .406933 .676882 .506801 .341678 .730475 .775586 .720975 .882829 .417708 .478239 .549766 .463593 .495403 .665046
.520866 .461531 .184591 .339331 .602727 .464506 .244758 .610080 .372094 .341678 .679360 .646534 .645132 .840674 .298885 .422275 .452729 .397358 .424760 .626273
.435512 .274727 .119599 .305554 .528897 .287121 .126811 .514306 .255829 .341678 .615447 .488114 .569840 .719313 .258284 .343781 .220842 .220277 .411203 .422882
.227221 .094036 .041047 .209974 .334534 .099874 .041250 .320004 .067137 .202864 .436158 .248805 .373893 .480312 .145448 .213464 .105261 .067387 .246301 .189404
.021212 .009479 .003474 .083751 .040204 .005242 .008914 .032504 .015327 .048942 .164327 .042486 .087083 .116118 .027562 .037850 .005382 .015419 .109634 .029608
"""  # noqa: E501

MAP = """
210     .690976857 .631213942 .542449383 .445892128 .339443663 .232795007 .124661032 .048317633 .009687717
212     .683394290 .624009284 .535995011 .440275123 .334806987 .229182130 .122327733 .047181667 .009263431
unknown .696977346 .637310573 .546258997 .448933102 .341034552 .233918570 .124709850 .048322563 .009687933
rounded .687743624 .627240612 .541103865 .443778409 .338052431 .231956316 .124350115 .047095492 .009147632
first   .690833485 .631268082 .542449075 .445892128 .339443663 .232795007 .124661032 .048317633 .009687717
nms45   .674045011 .618141333 .528271822 .432381403 .321580913 .213410319 .107103115 .039203871 .007543629
snippet .688080541 .635555422 .546508911 .460897069 .368425905 .250837260 .125630262 .060056462 .018966145
wtalc   .681542402 .631892155 .540693091 .453002468 .368163194 .241810113 .120063345 .056275033 .017215651
kit     .170043886 .154672710 .134395728 .114974602 .093421258 .070211839 .044669448 .023150505 .006876521
kitnms  .560011915 .521137424 .456201360 .387779785 .299206469 .200695668 .099846486 .035150773 .006842138
kit14   .191297002 .174917725 .156213412 .133315744 .112508619 .088656201 .060049924 .034772375 .017111606
tgm     .736558559 .725096614 .697416049 .647857972 .570648040 .478807160 .373001014 .207218664 .045225929
tgm210  .743744671 .732297200 .705868221 .657402481 .582079153 .490775916 .387037378 .218501226 .049670765
tgm14   .725140543 .717947449 .676002363 .633627340 .571607706
"""  # noqa: E501


@pytest.fixture(scope="module")
def pmil(shared: Path) -> Detections:
    return read_detections(shared / "detections" / "pmil_base_test.json")


@pytest.fixture(scope="module")
def truth_210(shared: Path) -> Annotations:
    return read_annotations(shared / "annotations" / "thumos14.json")


@pytest.fixture(scope="module")
def truth_212(shared: Path) -> Annotations:
    return read_annotations(shared / "annotations" / "thumos14_212.json")


@pytest.fixture(scope="module")
def kit(shared: Path) -> Annotations:
    return read_annotations(shared / "annotations" / "thumos14_evalkit")


@pytest.fixture(scope="module")
def intervals(shared: Path) -> Path:
    return shared / "annotations" / "thumos14_evalkit" / "Ambiguous_test.txt"


@pytest.fixture(scope="module")
def tgm_file(shared: Path) -> Path:
    return shared / "detections" / "tgm_res.txt"


@pytest.fixture(scope="module")
def pmil_210(shared: Path, pmil: Detections) -> Evaluation:
    return evaluate(pmil, shared / "annotations" / "thumos14.json", protocol="thumos14")


def at_tenths(evaluation: Evaluation) -> list[float]:
    return [evaluation.map[evaluation.tiou.index(t)] for t in TENTHS if t in evaluation.tiou]


def row_of(name: str) -> Any:
    return digits(next(line for line in MAP.split("\n") if line.startswith(name))[8:])


def digits(text: str) -> Any:
    return pytest.approx([float(word) for word in text.split()], abs=1e-9)


def test_pmil_ap_per_class(pmil_210: Evaluation) -> None:
    assert [one.npos for one in pmil_210.per_class] == [int(n) for n in NPOS.split()]
    for t, line in zip(TENTHS, AP.split("\n")[1:-1], strict=True):
        j = pmil_210.tiou.index(t)
        ap = [one.ap[j] for one in pmil_210.per_class]
        assert ap == pytest.approx([float(word) for word in line.split()], abs=1e-6)


def test_pmil_map_and_averages(pmil_210: Evaluation) -> None:
    assert at_tenths(pmil_210) == row_of("210")
    between = [pmil_210.map[pmil_210.tiou.index(t)] for t in (0.55, 0.65, 0.75, 0.85, 0.95)]
    assert between == digits(".290351061 .171590468 .082338758 .023714927 .001722771")
    names = ("0.1:0.5", "0.1:0.7", "0.3:0.7", "0.1:0.9", "0.5:0.95")
    averages = [pmil_210.averages[name] for name in names]
    assert averages == digits(".529995194 .429633144 .337048243 .340604151 .132462304")
    assert pmil_210.headline == ("0.1:0.7", pmil_210.averages["0.1:0.7"])


def test_pmil_counts(pmil_210: Evaluation) -> None:
    counts = pmil_210.counts
    assert (counts["videos"], counts["instances"], counts["classes"]) == (210, 3311, 20)
    assert (counts["detections_read"], counts["detections_unknown_video"]) == (31587, 198)


def test_pmil_video_level_from_detections(
    shared: Path, pmil: Detections, pmil_210: Evaluation
) -> None:
    level = pmil_210.video_level
    assert level is not None
    assert level.derived
    figures = [level.map, level.top1, level.hit3, level.avg_hit3]
    assert figures == pytest.approx([0.924643, 0.957143, 0.976190, 0.946825], abs=1e-6)
    truth = shared / "annotations" / "thumos14.json"
    interpolated = evaluate(pmil, truth, video_ap="interpolated").video_level
    assert interpolated is not None
    assert interpolated.map == pytest.approx(0.925358, abs=1e-6)


def test_pmil_on_212_videos(shared: Path, pmil: Detections) -> None:
    result = evaluate(pmil, shared / "annotations" / "thumos14_212.json")
    assert at_tenths(result) == row_of("212")


def test_pmil_with_one_of_the_two_mislabelled_videos(shared: Path, pmil: Detections) -> None:
    truth = shared / "annotations" / "thumos14_212.json"
    for excluded, points in (("video_test_0001496", -0.456), ("video_test_0000270", -0.079)):
        average = evaluate(pmil, truth, exclude_videos=[excluded]).averages["0.1:0.7"]
        assert 100 * (average - 0.429633144) == pytest.approx(points, abs=5e-4)


def test_pmil_without_the_mislabelled_videos_equals_the_file_of_210(
    shared: Path, pmil: Detections, pmil_210: Evaluation
) -> None:
    truth = shared / "annotations" / "thumos14_212.json"
    both = ("video_test_0000270", "video_test_0001496")
    assert evaluate(pmil, truth, exclude_videos=both).per_class == pmil_210.per_class


def test_pmil_with_detections_on_unknown_videos_ignored(shared: Path, pmil: Detections) -> None:
    truth = shared / "annotations" / "thumos14.json"
    assert at_tenths(evaluate(pmil, truth, unknown_videos="ignore")) == row_of("unknown")


def test_pmil_with_rounded_scores(shared: Path, pmil: Detections) -> None:
    rounded = Detections(
        videos=pmil.videos,
        labels=pmil.labels,
        video=pmil.video,
        label=pmil.label,
        start=pmil.start,
        end=pmil.end,
        score=pmil.score.round(1),
    )
    result = evaluate(rounded, shared / "annotations" / "thumos14.json")
    assert at_tenths(result) == row_of("rounded")
    assert any("share their score" in line for line in result.warnings)


def test_pmil_with_the_first_of_ties(shared: Path, pmil: Detections) -> None:
    result = evaluate(pmil, shared / "annotations" / "thumos14.json", ties="first")
    assert at_tenths(result) == row_of("first")


def test_whole_video_with_true_tags_on_thumos14(pmil_210: Evaluation) -> None:
    row = pmil_210.baselines["whole_video"]
    figures = [row.map[0], row.map[pmil_210.tiou.index(0.5)], row.averages["0.1:0.9"]]
    assert [100 * x for x in figures] == pytest.approx([2.3273, 0.2616, 0.4883], abs=5e-5)


@pytest.mark.parametrize(
    ("version", "videos", "instances", "figures"),
    [
        ("1-3", 4728, 7293, [36.8748, 20.9508, 5.7434, 21.9412]),
        ("1-2", 2383, 3582, [37.7105, 20.0996, 4.9010, 21.5761]),
    ],
)
def test_whole_video_with_true_tags_on_activitynet(
    shared: Path, version: str, videos: int, instances: int, figures: list[float]
) -> None:
    truth = shared / "annotations" / f"activitynet_v{version}.json"
    result = evaluate({"results": {}}, truth, protocol="activitynet")
    assert (result.counts["videos"], result.counts["instances"]) == (videos, instances)
    row = result.baselines["whole_video"]
    found = [row.map[result.tiou.index(t)] for t in (0.5, 0.75, 0.95)]
    found.append(row.averages["0.5:0.95"])
    assert [100 * x for x in found] == pytest.approx(figures, abs=5e-5)


def test_duplicate_and_empty_instances_of_activitynet_are_counted(shared: Path) -> None:
    truth = shared / "annotations" / "activitynet_v1-3.json"
    result = evaluate({"results": {}}, truth, protocol="activitynet")
    assert result.counts["instances_duplicate"] == 17
    assert any(line.startswith("3 instances have zero length") for line in result.warnings)


# The presets


def test_the_evalkit_holds_213_videos_of_which_one_has_only_ambiguous_rows(
    kit: Annotations, tgm_file: Path
) -> None:
    result = evaluate(tgm_file, kit, "thumos14-evalkit")
    counts = result.counts
    assert (counts["videos"], counts["instances"], counts["classes"]) == (213, 3358, 20)
    assert (counts["detections_read"], counts["detections_ambiguous"]) == (2875, 20)
    npos = [one.npos for one in result.per_class]
    assert (npos[6], npos[10]) == (170, 242)  # CricketShot, HammerThrow: two more videos than 210
    assert npos[:6] == [int(n) for n in NPOS.split()[:6]]
    assert not any("overlap a better one" in line for line in result.warnings)


def test_tgm_ap_per_class_under_the_evalkit(kit: Annotations, tgm_file: Path) -> None:
    result = evaluate(tgm_file, kit, "thumos14-evalkit")
    for t, line in zip(TENTHS, TGM_AP.split("\n")[1:-1], strict=True):
        j = result.tiou.index(t)
        ap = [one.ap[j] for one in result.per_class]
        assert ap == pytest.approx([float(word) for word in line.split()], abs=1e-6)
    assert at_tenths(result) == row_of("tgm ")
    assert result.headline == ("@0.5", result.map[result.tiou.index(0.5)])


def test_tgm_under_other_protocols(
    kit: Annotations, truth_210: Annotations, tgm_file: Path
) -> None:
    assert at_tenths(evaluate(tgm_file, truth_210)) == row_of("tgm210")
    assert at_tenths(evaluate(tgm_file, kit, "thumos14-evalkit-2014")) == row_of("tgm14")


def test_pmil_under_the_evalkit_collapses_and_a_warning_says_why(
    kit: Annotations, pmil: Detections
) -> None:
    raw = evaluate(pmil, kit, "thumos14-evalkit")
    assert at_tenths(raw) == row_of("kit ")
    assert any("as raw proposals do" in line for line in raw.warnings)
    suppressed = evaluate(pmil, kit, "thumos14-evalkit", nms=0.45)
    assert at_tenths(suppressed) == row_of("kitnms")
    assert not any("as raw proposals do" in line for line in suppressed.warnings)


def test_pmil_under_the_evalkit_of_2014(kit: Annotations, pmil: Detections) -> None:
    result = evaluate(pmil, kit, "thumos14-evalkit-2014", tiou=TENTHS)
    assert at_tenths(result) == row_of("kit14")


def test_pmil_under_the_evalkit_with_ambiguous_intervals_kept(
    kit: Annotations, pmil: Detections
) -> None:
    result = evaluate(pmil, kit, "thumos14-evalkit", ambiguous="keep")
    found = [result.map[result.tiou.index(t)] for t in (0.1, 0.3, 0.5, 0.7)]
    assert found == pytest.approx([0.169394, 0.133900, 0.093169, 0.044592], abs=1e-6)


def test_the_ambiguous_rule_of_the_evalkit_is_worth_some_hundredths(
    kit: Annotations, pmil: Detections, tgm_file: Path
) -> None:
    for detections, points in ((tgm_file, 0.02), (pmil, 0.03)):
        at_half = [
            evaluate(detections, kit, "thumos14-evalkit", ambiguous=rule, tiou=(0.5,)).map[0]
            for rule in ("drop-fp", "keep")
        ]
        assert 100 * (at_half[0] - at_half[1]) == pytest.approx(points, abs=0.005)


def test_pmil_on_whole_snippets(truth_210: Annotations, pmil: Detections) -> None:
    assert at_tenths(evaluate(pmil, truth_210, "snippet-grid")) == row_of("snippet")
    assert at_tenths(evaluate(pmil, truth_210, "wtalc")) == row_of("wtalc")


def test_pmil_after_nms(truth_210: Annotations, pmil: Detections) -> None:
    assert at_tenths(evaluate(pmil, truth_210, nms=0.45)) == row_of("nms45")


# The switches: change of avg(.1:.7) and of mAP at .5, in points

EFFECTS: dict[str, tuple[dict[str, Any], float, float]] = {
    "unknown ignored": ({"unknown_videos": "ignore"}, 0.310, 0.16),
    "touching dropped": ({"ambiguous": "drop-all", "ambiguous_file": True}, 0.050, 0.03),
    "touching dropped, 212": (
        {"ambiguous": "drop-all", "ambiguous_file": True, "videos": 212},
        *(-0.484, -0.44),
    ),
    "grid, seconds": ({"grid": "16/25"}, 0.637, 1.80),
    "grid, snippets": ({"grid": "16/25", "grid_units": "snippets"}, 0.979, 2.90),
    "grid, seconds, 212": (
        {"grid": "16/25", "ambiguous": "drop-all", "ambiguous_file": True, "videos": 212},
        *(0.148, 1.35),
    ),
    "snippet-grid": ({"protocol": "snippet-grid"}, 0.979, 2.90),
    "snippet-grid, 212": (
        {"protocol": "snippet-grid", "ambiguous_file": True, "videos": 212},
        *(0.430, 2.40),
    ),
    "wtalc": ({"protocol": "wtalc"}, 0.425, 2.87),
    # Quoted as -0.489: cut and not rounded, see docs/decisions/0008.
    "wtalc, 212": ({"protocol": "wtalc", "ambiguous_file": True, "videos": 212}, -0.4896, 2.18),
    "not interpolated": ({"ap": "sum"}, -0.914, -0.95),
    "first free": ({"match": "first"}, -0.035, 0.00),
    "strictly above": ({"overlap_test": "gt"}, -0.014, -0.01),
    "single precision": ({"precision": "float32"}, 0.025, 0.05),
    "ties first": ({"ties": "first"}, -0.001, 0.00),
    "rounded scores": ({"rounded": True}, -0.189, -0.14),
    "rounded scores, first": ({"rounded": True, "ties": "first"}, -0.531, -0.43),
    "linspace": ({"tiou": tuple(np.linspace(0.1, 0.9, 9).tolist())}, 0.000, 0.00),
    "cliff as diving": ({"cliff_as_diving": "detections"}, -0.133, -0.16),
    "class left out": ({"exclude_class": ("CliffDiving",)}, -0.581, -0.55),
    "30 fps": ({"assume_fps": 30}, -4.903, -5.47),
    "decoded at 25 fps": ({"time_scale": 1.2}, -32.627, -30.38),
    "half a snippet later": ({"time_offset": 0.32}, -1.395, -1.68),
    "without last snippet": ({"end_offset": -0.64}, -5.079, -6.47),
    "nms .7": ({"nms": 0.7}, -0.544, -0.42),
    "nms .5": ({"nms": 0.5}, -1.375, -1.43),
    "nms .3": ({"nms": 0.3}, -2.681, -3.27),
    "nms .7, +1": ({"nms": 0.7, "length_offset": 1}, -0.781, -0.71),
    "nms .5, +1": ({"nms": 0.5, "length_offset": 1}, -1.782, -2.13),
    "nms .3, +1": ({"nms": 0.3, "length_offset": 1}, -3.301, -4.20),
    "normalised scores": ({"score_norm": "max"}, -0.457, -0.78),
    "best 100": ({"max_per_video": 100}, -0.499, -0.50),
    "no repetitions": ({"dedup_gt": 1e-3, "nonpositive_gt": "drop"}, 0.000, 0.00),
}


@pytest.mark.parametrize("name", EFFECTS)
def test_a_switch_changes_the_figures_of_pmil_by(
    name: str,
    pmil: Detections,
    pmil_210: Evaluation,
    truth_210: Annotations,
    truth_212: Annotations,
    intervals: Path,
) -> None:
    options, points, points_at_half = EFFECTS[name]
    options = dict(options)
    truth = truth_212 if options.pop("videos", 210) == 212 else truth_210
    if options.pop("rounded", False):
        pmil = replace(pmil, score=pmil.score.round(1))
    if "ambiguous_file" in options:
        options["ambiguous_file"] = intervals
    result = evaluate(pmil, truth, **options)
    gain = result.averages["0.1:0.7"] - pmil_210.averages["0.1:0.7"]
    gain_at_half = result.map[4] - pmil_210.map[4]
    assert 100 * gain == pytest.approx(points, abs=5.5e-4)
    assert 100 * gain_at_half == pytest.approx(points_at_half, abs=5.5e-3)


def test_37_detections_of_pmil_touch_an_ambiguous_interval(
    pmil: Detections, truth_210: Annotations, intervals: Path
) -> None:
    result = evaluate(pmil, truth_210, ambiguous="drop-all", ambiguous_file=intervals)
    assert result.counts["detections_ambiguous"] == 37


def test_linspace_on_the_grid_costs_what_lies_exactly_on_a_threshold(
    pmil: Detections, truth_210: Annotations
) -> None:
    floats = tuple(np.linspace(0.1, 0.9, 9).tolist())
    decimals = evaluate(pmil, truth_210, "snippet-grid", tiou=TENTHS).map
    result = evaluate(pmil, truth_210, "snippet-grid", tiou=floats).map
    assert [result[2], result[6]] == pytest.approx([0.542736, 0.122381], abs=1e-6)
    assert 100 * (result[2] - decimals[2]) == pytest.approx(-0.38, abs=0.005)
    assert 100 * (result[6] - decimals[6]) == pytest.approx(-0.32, abs=0.005)
    assert result[4] == decimals[4]


def test_a_class_without_detections_costs_its_share_of_the_mean(
    pmil: Detections, pmil_210: Evaluation, truth_210: Annotations
) -> None:
    without = take(pmil, pmil.label != pmil.labels.index("CliffDiving"))
    result = evaluate(without, truth_210)
    gain = result.averages["0.1:0.7"] - pmil_210.averages["0.1:0.7"]
    assert 100 * gain == pytest.approx(-2.700, abs=5e-4)
    assert 100 * (result.map[4] - pmil_210.map[4]) == pytest.approx(-2.22, abs=0.005)


def test_videos_predicted_only_as_the_first_class_are_not_lost(
    pmil: Detections, pmil_210: Evaluation, truth_210: Annotations
) -> None:
    # any() over class indices calls such a video empty, since the index is 0.
    first = pmil.label == pmil.labels.index("BaseballPitch")
    others = set(pmil.video[~first].tolist())
    lost = evaluate(take(pmil, np.isin(pmil.video, list(others))), truth_210)
    gain = lost.averages["0.1:0.7"] - pmil_210.averages["0.1:0.7"]
    assert 100 * gain == pytest.approx(-1.763, abs=5e-4)
    assert 100 * (lost.map[4] - pmil_210.map[4]) == pytest.approx(-1.20, abs=0.005)


def test_212_videos_with_detections_for_210_of_them(
    pmil: Detections, pmil_210: Evaluation, truth_212: Annotations
) -> None:
    lost = {"video_test_0000270", "video_test_0001496"}
    rest = np.array([pmil.videos[v] not in lost for v in pmil.video.tolist()])
    gain = [
        (e.averages["0.1:0.7"] - pmil_210.averages["0.1:0.7"], e.map[4] - pmil_210.map[4])
        for e in (evaluate(pmil, truth_212), evaluate(take(pmil, rest), truth_212))
    ]
    assert 100 * np.array(gain[0]) == pytest.approx([-0.535, -0.46], abs=5e-3)
    assert 100 * np.array(gain[1]) == pytest.approx([-0.225, -0.30], abs=5e-3)


@pytest.mark.parametrize(("version", "repeated"), [("1-3", 19), ("1-2", 7)])
def test_activitynet_has_repeated_and_empty_instances(
    shared: Path, version: str, repeated: int
) -> None:
    truth = shared / "annotations" / f"activitynet_v{version}.json"
    options: dict[str, Any] = {"dedup_gt": 1e-3, "nonpositive_gt": "drop"}
    warnings = evaluate({"results": {}}, truth, "activitynet", **options).warnings
    assert "3 instances of zero or negative length were dropped." in warnings
    assert any(line.startswith(f"{repeated} instances were removed") for line in warnings)


def test_single_precision_gives_the_figures_of_mmaction2_but_for_its_ties(
    pmil: Detections, truth_210: Annotations
) -> None:
    # There .7 in single precision is less than .7 in double: a threshold just above does the same.
    grid = (0.1, 0.3, 0.5, 0.7000001)
    figures = evaluate(pmil, truth_210, precision="float32", tiou=grid).map
    assert figures[1:] == pytest.approx([0.542570, 0.339930, 0.124571], abs=1e-6)
    # Unstable sorting: the official program is as far from ours at .1, .690908 for .690977.
    assert figures[0] - 0.690905 == pytest.approx(0.690976857 - 0.690908, abs=1e-6)


def test_the_ceiling_of_the_common_grid(pmil: Detections, truth_210: Annotations) -> None:
    """An earlier measurement gives 95.6, 72.4, 97.4, 88.7; why not ours: docs/decisions/0008."""
    rows = evaluate(pmil, truth_210, ceiling="16/25", tiou=(0.5, 0.7)).baselines
    figures = [100 * x for name in ("outward", "rounded") for x in rows[f"ceiling_{name}"].map]
    assert figures == pytest.approx([96.016, 73.049, 97.648, 89.344], abs=1e-3)
