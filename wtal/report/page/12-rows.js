// The rows of the timeline: attention, then a row per class with curve, detections and truth.

let rows = []; // {c, canvas, name}; c is null for attention
let everyClass = false; // show classes without anything at this threshold, too
let drag = null; // an edge on its way: {segment, start, end}

/** Classes of the open video: tags, truth, and what is shown; the others on request. */
function rowClasses() {
  const v = current.video;
  const main = new Set(videos.tags[v] ?? []);
  for (const { c } of current.details?.truth ?? []) main.add(c);
  for (const { c } of current.segments) main.add(c);
  const all = new Set(main);
  for (const c of current.details?.curves.keys() ?? []) all.add(c);
  for (let i = videos.first[v]; i < videos.first[v + 1]; i++) all.add(found.class[i]);
  const rank = (c) => (videos.tags[v]?.includes(c) ? 0 : 1);
  const order = (set) => [...set].filter((c) => !shown.hidden.has(c)).sort((a, b) => rank(a) - rank(b) || a - b);
  return { main: order(main), all: order(all) };
}

function buildRows() {
  const { main, all } = rowClasses();
  const kinds = everyClass ? all : main;
  const wanted = [...(current.details?.attention ? [null] : []), ...kinds];
  const more = byId("more-classes");
  more.hidden = all.length === main.length;
  const others = all.length - main.length;
  more.textContent = everyClass ? "Show only classes with something in them" : `Show ${plural(others, "more class", "more classes")}`;
  byId("tracks").classList.toggle("with-curves", (current.details?.curves.size ?? 0) > 0);
  rows = wanted.map((c) => rows.find((row) => row.c === c && row.video === current.video) ?? makeRow(c));
  const boxes = rows.map((row) => row.box);
  if (boxes.some((box, i) => byId("class-rows").children[i] !== box) || boxes.length !== byId("class-rows").children.length) {
    byId("class-rows").replaceChildren(...boxes);
  }
  for (const row of rows) row.note.textContent = rowNote(row.c);
  showLegend();
}

function makeRow(c) {
  const canvas = make("canvas", { "aria-hidden": "true" });
  const note = make("small", { title: "Tag of the video or not; how sure the model is that the class is in the video at all" });
  const title = c === null ? make("span", { text: "Attention" }) : make("span", { title: classes[c] }, swatch(c), classes[c]);
  const box = make("div", { class: c === null ? "row attention" : "row class", "data-c": c ?? "" }, make("div", { class: "name" }, title, note), canvas);
  return { c, video: current.video, box, canvas, note };
}

/** Beside the name: tag or not, and how sure the model is that the class is in the video at all. */
function rowNote(c) {
  if (c === null) return "";
  const tags = tagsOf(current.video);
  const p = current.details?.classScores.get(c);
  const parts = [tags === null ? null : tags.includes(c) ? "tag" : "no tag", p === undefined ? null : `video ${scoreText(p)}`];
  return parts.filter(Boolean).join(" · ");
}

function showLegend() {
  const item = (kind, text) => make("span", {}, make("i", { class: kind }), text);
  const details = current.details;
  const verdicts = workOf(videos.name[current.video]).entries;
  byId("legend").replaceChildren(
    ...[details?.curves.size ? item("curve", "score") : null, item("", "detection"), details?.truth.length ? item("truth", "annotated") : null, verdicts.some((entry) => entry.verdict === "rejected") ? item("reject", "rejected") : null].filter(Boolean),
  );
}

// Drawing -------------------------------------------------------------------------------------------

/** The lanes of a row, from the top: curve, bars, truth. */
function lanesOf(height, hasCurves) {
  const truth = (current.details?.truth.length ?? 0) > 0 ? 8 : 2;
  const bars = hasCurves ? 14 : height - truth - 6;
  return { curve: [4, height - truth - bars - 3], bars: [height - truth - bars, height - truth - 1], truth: [height - 6, height - 2] };
}

function drawRow({ c, canvas }) {
  const { brush, width, height } = canvasOf(canvas);
  const { details } = current;
  if (c === null) {
    drawCurve(brush, details.attention, details.step, [4, height - 3], width, inks.soft);
    return;
  }
  const lanes = lanesOf(height, byId("tracks").classList.contains("with-curves"));
  const curve = details?.curves.get(c);
  if (curve) drawCurve(brush, curve, details.step, lanes.curve, width, classInk(c));
  for (const segment of details?.truth ?? []) {
    if (segment.c !== c) continue;
    brush.fillStyle = inks.ink;
    brush.fillRect(toX(segment.start), lanes.truth[0], Math.max(toX(segment.end) - toX(segment.start), 1.5), lanes.truth[1] - lanes.truth[0]);
  }
  const mine = current.segments.filter((segment) => segment.c === c);
  for (const segment of mine) if (segment.id !== current.chosen) drawBar(brush, segment, lanes.bars);
  const chosen = mine.find((segment) => segment.id === current.chosen);
  if (chosen) drawBar(brush, chosen, lanes.bars);
  if (drag?.draws === c) drawBar(brush, { ...drag, c, score: null, verdict: "added", id: "draws" }, lanes.bars);
}

/** A curve of bytes: of the points under one pixel the highest is drawn. */
function drawCurve(brush, curve, step, [top, bottom], width, ink) {
  const tall = bottom - top;
  brush.beginPath();
  brush.moveTo(0, bottom);
  let last = 0;
  for (let x = 0; x < width; x++) {
    const first = Math.floor(toTime(x) / step);
    const after = Math.max(Math.ceil(toTime(x + 1) / step), first + 1);
    if (first >= curve.length) break;
    let highest = 0;
    for (let p = Math.max(first, 0); p < Math.min(after, curve.length); p++) highest = Math.max(highest, curve[p]);
    brush.lineTo(x + 0.5, bottom - (highest / 255) * tall);
    last = x + 0.5;
  }
  brush.strokeStyle = ink;
  brush.lineWidth = 1.25;
  brush.lineJoin = "round";
  brush.stroke();
  brush.lineTo(last, bottom);
  brush.globalAlpha = 0.13;
  brush.fillStyle = ink;
  brush.fill();
  brush.globalAlpha = 1;
}

/** A segment; the surer, the taller and the darker. */
function drawBar(brush, segment, [top, bottom]) {
  const moved = drag?.segment?.id === segment.id ? drag : segment;
  const [x, end] = [toX(moved.start), toX(moved.end)];
  if (end < -20 || x > scale.width + 20) return;
  const wide = Math.max(end - x, 2);
  const sure = segment.verdict && segment.verdict !== "rejected" ? 1 : strength(segment.score);
  const tall = (bottom - top) * (0.55 + 0.45 * sure);
  const y = bottom - tall;
  const rejected = segment.verdict === "rejected";
  brush.fillStyle = brush.strokeStyle = classInk(segment.c);
  brush.globalAlpha = rejected ? 0.12 : 0.35 + 0.65 * sure;
  brush.fillRect(x, y, wide, tall);
  brush.globalAlpha = 1;
  if (wide > 5 && !rejected) drawRim(brush, x, y, wide, tall);
  if (rejected) {
    brush.setLineDash([3, 2]);
    brush.lineWidth = 1;
    brush.strokeRect(x + 0.5, y + 0.5, Math.max(wide - 1, 1), tall - 1);
    brush.setLineDash([]);
    brush.fillRect(x, y + tall / 2 - 0.75, wide, 1.5);
  }
  if (segment.entry?.was) drawWas(brush, segment.entry.was, bottom);
  if (segment.verdict && !rejected && wide > 13) drawMark(brush, segment.verdict, x + 3, y + tall / 2);
  if (segment.id === current.chosen) drawChosen(brush, x, y, wide, tall);
}

/** A rim in the colour of the ground keeps overlapping segments apart. */
function drawRim(brush, x, y, wide, tall) {
  const ink = brush.strokeStyle;
  brush.strokeStyle = inks.paper;
  brush.lineWidth = 1;
  brush.strokeRect(x + 0.5, y + 0.5, wide - 1, tall - 1);
  brush.strokeStyle = ink;
}

function drawWas(brush, [start, end], bottom) {
  brush.fillStyle = inks.soft;
  brush.fillRect(toX(start), bottom, Math.max(toX(end) - toX(start), 1), 1);
}

/** A tick for what is right, a plus for what was added. */
function drawMark(brush, verdict, x, y) {
  brush.strokeStyle = inks.paper;
  brush.lineWidth = 1.6;
  brush.beginPath();
  if (verdict === "added") for (const [x1, y1, x2, y2] of [[0, 0, 7, 0], [3.5, -3.5, 3.5, 3.5]]) brush.moveTo(x + x1, y + y1), brush.lineTo(x + x2, y + y2);
  else brush.moveTo(x, y), brush.lineTo(x + 2.7, y + 2.7), brush.lineTo(x + 7.5, y - 2.7);
  brush.stroke();
}

function drawChosen(brush, x, y, wide, tall) {
  brush.strokeStyle = inks.ink;
  brush.lineWidth = 1.5;
  brush.strokeRect(x - 1.5, y - 1.5, wide + 3, tall + 3);
  brush.fillStyle = inks.ink;
  for (const edge of [x - 3, x + wide]) brush.fillRect(edge, y - 3, 3, tall + 6);
}

const redraw = oncePerFrame(() => {
  if (current.video < 0 || byId("video").hidden) return;
  measureTracks();
  drawRuler();
  for (const row of rows) drawRow(row);
  drawMini();
  showTime();
});
