// The overview: how good, on which classes, which errors, how sure, at what cost.

const percent = (x) => (x === null || x === undefined ? "–" : (100 * x).toFixed(1));
const head = (text, props = {}) => make("th", { scope: "col", text, ...props });

function card(title, note, ...content) {
  return make("section", { class: "card" }, make("h3", { text: title }), note ? make("p", { text: note }) : null, ...content);
}

function tableOf(heads, lines, { caption, tall = false }) {
  const table = make("table", {}, make("caption", { class: "unseen", text: caption }), make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...lines));
  return make("div", { class: tall ? "scroll tall" : "scroll", tabindex: "0", role: "region", "aria-label": caption }, table);
}

/** A cell that is a bar: its length says what its text says. */
function barCell(part, text, c = null) {
  const bar = make("i", { class: c === null ? null : `k${colourNumber(c)}` });
  bar.style.width = `${100 * clamp(part || 0, 0, 1)}%`;
  return make("td", { class: "bar" }, make("span", {}, make("span", {}, bar), make("b", { text })));
}

function factsCard() {
  const reviewed = [...work.values()].filter((state) => state.complete).length;
  const truth = videos.truth.reduce((sum, n) => sum + (n ?? 0), 0);
  const seconds = videos.duration_s.reduce((sum, s) => sum + (s ?? 0), 0);
  const facts = [
    ["videos", whole(V - S)],
    S ? ["skipped", whole(S)] : null,
    seconds ? ["of video", spanText(seconds)] : null,
    ["classes", whole(C)],
    ["detections shown", whole(counts.total)],
    truth ? ["annotated segments", whole(truth)] : null,
    reviewed ? ["videos reviewed", whole(reviewed)] : null,
  ].filter(Boolean);
  const list = make("dl", { class: "facts" }, ...facts.map(([name, value]) => make("div", {}, make("dt", { text: name }), make("dd", { text: value }))));
  const box = card("This report", index.source, list);
  box.classList.add("wide");
  return box;
}

const spanText = (s) => (s < 90 ? `${s.toFixed(s < 10 ? 1 : 0)} s` : s < 600 ? `${Number((s / 60).toFixed(1))} min` : s < 5400 ? `${(s / 60).toFixed(0)} min` : `${(s / 3600).toFixed(1)} h`);

function mapCard({ tiou, rows }) {
  const averages = [...new Set(rows.flatMap((row) => Object.keys(row.averages)))];
  const best = (values) => Math.max(...values.map((x) => x ?? -1));
  const cell = (value, top, kind) => make("td", { class: `${kind} ${rows.length > 1 && value === top ? "ours" : ""}`, text: percent(value) });
  const tops = tiou.map((_, t) => best(rows.map((row) => row.map[t])));
  const lines = rows.map((row) =>
    make(
      "tr",
      {},
      make("th", { scope: "row", text: row.name }),
      ...averages.map((name) => cell(row.averages[name], best(rows.map((other) => other.averages[name])), "average")),
      ...row.map.map((x, t) => cell(x, tops[t], "")),
    ),
  );
  // The averages first: they are read first, and nine columns of tIoU may not fit beside them.
  const heads = [head("Result"), ...averages.map((name) => head(`mean ${name.replace(":", "–")}`, { class: "average" })), ...tiou.map((t) => head(String(t)))];
  const box = card("mAP by tIoU", "Percent. A detection counts when its overlap with an annotated segment (tIoU) reaches the column's value.", tableOf(heads, lines, { caption: "mAP in percent, a row per result, a column per tIoU" }));
  box.classList.add("wide");
  return box;
}

function classCard(perClass, apName) {
  const lines = [...perClass]
    .sort((a, b) => (b.ap ?? -1) - (a.ap ?? -1))
    .map(({ label, ap, segments, detections }) => {
      const c = classNumber(label);
      return make("tr", {}, make("th", { scope: "row" }, make("span", { class: "class" }, swatch(c), make("span", { text: label }))), barCell(ap, percent(ap), c), make("td", { text: whole(segments) }), make("td", { text: whole(detections) }));
    });
  const note = apName ? `Average precision in percent, mean over tIoU ${apName.replace(":", "–")}.` : "Average precision in percent.";
  return card("Classes", note, tableOf([head("Class"), head("AP", { class: "bar" }), head("annotated"), head("found")], lines, { caption: "Average precision of each class", tall: true }));
}

function errorCard(errors) {
  const costs = errors.map(({ cost }) => cost ?? 0);
  const most = Math.max(...costs, 1e-9);
  const lines = errors.map(({ name, share, cost }) => make("tr", {}, make("th", { scope: "row", text: name }), make("td", { text: percent(share) }), cost === null ? make("td", { class: "bar", text: "" }) : barCell(cost / most, percent(cost))));
  return card("Errors", "Share of each outcome, and the mAP that mending it would gain. Percent.", tableOf([head("Outcome"), head("share"), head("mAP to gain", { class: "bar" })], lines, { caption: "Error profile" }));
}

/** Confidence against precision; on the dashed line, confidence is what it says. */
function calibrationCard({ bins, note }) {
  const [left, top, size] = [44, 12, 240];
  const at = (x, y) => [left + x * size, top + (1 - y) * size];
  const most = Math.max(...bins.map(({ count }) => count), 1);
  const known = bins.filter(({ precision }) => precision !== null);
  const chart = svg("svg", { class: "chart", viewBox: "0 0 300 296", role: "img", "aria-label": "Reliability diagram; the table beneath has its numbers" });
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
    const [x, y] = at(tick, tick);
    chart.append(
      svg("line", { class: "grid", x1: left, x2: left + size, y1: y, y2: y }),
      svg("text", { x: left - 8, y: y + 4, "text-anchor": "end", text: percent(tick).replace(".0", "") }),
      svg("text", { x, y: top + size + 16, "text-anchor": "middle", text: String(tick) }),
    );
  }
  for (const { confidence, count } of bins) {
    const tall = (count / most) * size * 0.3;
    chart.append(svg("rect", { class: "mass", x: at(confidence, 0)[0] - 7, y: top + size - tall, width: 14, height: tall }));
  }
  chart.append(
    svg("path", { class: "ideal", d: `M${at(0, 0)}L${at(1, 1)}` }),
    svg("path", { class: "line", d: known.map(({ confidence, precision }, i) => (i ? "L" : "M") + at(confidence, precision)).join("") }),
    ...known.map(({ confidence, precision }) => svg("circle", { class: "dot", r: 3.5, cx: at(confidence, precision)[0], cy: at(confidence, precision)[1] })),
    svg("text", { x: left + size / 2, y: top + size + 34, "text-anchor": "middle", text: "confidence" }),
    svg("text", { x: 12, y: top + size / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${top + size / 2})`, text: "right, %" }),
  );
  const lines = bins.map(({ confidence, precision, count }) => make("tr", {}, make("td", { text: confidence.toFixed(2) }), make("td", { text: percent(precision) }), make("td", { text: whole(count) })));
  const numbers = make("details", {}, make("summary", { text: "Numbers" }), tableOf([head("confidence"), head("right, %"), head("detections")], lines, { caption: "Confidence and precision" }));
  return card("How sure is sure", note, chart, numbers);
}

function costCard(costs) {
  const most = Math.max(...costs.map(({ seconds }) => seconds), 1e-9);
  const lines = costs.map(({ stage, seconds, what }) => make("tr", {}, make("th", { scope: "row", text: stage }), barCell(seconds / most, spanText(seconds)), make("td", { class: "words", text: what })));
  const sum = costs.reduce((total, { seconds }) => total + seconds, 0);
  return card("Cost", `${spanText(sum)} in all.`, tableOf([head("Stage"), head("time", { class: "bar" }), head("", { class: "words" })], lines, { caption: "Cost of each stage" }));
}

function notesCard() {
  const noted = Array.from(videos.name.keys()).filter((v) => videos.note[v]);
  if (noted.length === 0) return null;
  const items = noted.slice(0, 200).map((v) => make("li", {}, make("a", { href: linkTo(v), text: videos.name[v] }), ` ${videos.note[v]}`));
  return card("Videos with a note", noted.length > 200 ? `The first 200 of ${whole(noted.length)}.` : "", make("ul", { class: "skipped" }, ...items));
}

function showOverview() {
  const { map, ap_name, per_class, errors, calibration, costs } = index.overview;
  const cards = [
    factsCard(),
    map?.rows.length ? mapCard(map) : null,
    per_class?.length ? classCard(per_class, ap_name) : null,
    errors?.length ? errorCard(errors) : null,
    calibration?.bins.length ? calibrationCard(calibration) : null,
    costs?.length ? costCard(costs) : null,
    notesCard(),
  ];
  byId("charts").replaceChildren(...cards.filter(Boolean));
}
