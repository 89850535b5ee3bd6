"""Figures that other programs and earlier measurements give for published files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wtal_eval import Detections, Evaluation, evaluate, read_detections

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

MAP = """
210     .690976857 .631213942 .542449383 .445892128 .339443663 .232795007 .124661032 .048317633 .009687717
212     .683394290 .624009284 .535995011 .440275123 .334806987 .229182130 .122327733 .047181667 .009263431
unknown .696977346 .637310573 .546258997 .448933102 .341034552 .233918570 .124709850 .048322563 .009687933
rounded .687743624 .627240612 .541103865 .443778409 .338052431 .231956316 .124350115 .047095492 .009147632
first   .690833485 .631268082 .542449075 .445892128 .339443663 .232795007 .124661032 .048317633 .009687717
"""  # noqa: E501


@pytest.fixture(scope="module")
def pmil(shared: Path) -> Detections:
    return read_detections(shared / "detections" / "pmil_base_test.json")


@pytest.fixture(scope="module")
def pmil_210(shared: Path, pmil: Detections) -> Evaluation:
    return evaluate(pmil, shared / "annotations" / "thumos14.json", protocol="thumos14")


def at_tenths(evaluation: Evaluation) -> list[float]:
    return [evaluation.map[evaluation.tiou.index(t)] for t in TENTHS]


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
