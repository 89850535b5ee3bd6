// The segments of the open video: detections and what was corrected, as one list.

const current = {
  video: -1,
  details: null, // truth, curves, scores; null until its block is read
  segments: [], // shown, by start
  chosen: null, // id of the selected one
};

/** Detections with their corrections, and what corrections added; those below the threshold too. */
function allSegments(v) {
  const name = videos.name[v];
  const rest = new Map(workOf(name).entries.map((entry) => [entry.key, entry]));
  const segments = [];
  for (let i = videos.first[v]; i < videos.first[v + 1]; i++) {
    const [start, end] = [found.start[i], found.end[i]];
    const key = originKey(classes[found.class[i]], start, end);
    const entry = rest.get(key) ?? null;
    rest.delete(key);
    segments.push(segmentOf(key, found.class[i], [start, end], found.score[i], entry, isShown(i)));
  }
  for (const entry of rest.values()) {
    const c = classNumber(entry.label);
    segments.push(segmentOf(entry.key, c, entry.segment, null, entry, !shown.hidden.has(c)));
  }
  return segments.sort((a, b) => a.start - b.start || a.end - b.end || a.c - b.c);
}

/** A correction is shown whatever the threshold, since a person made it. */
function segmentOf(id, c, span, score, entry, isVisible) {
  const [start, end] = entry?.segment ?? span;
  const visible = isVisible || (entry !== null && !shown.hidden.has(c));
  return { id, c, start, end, span, score, entry, visible, verdict: entry?.verdict ?? null };
}

const selected = () => current.segments.find((segment) => segment.id === current.chosen) ?? null;

function select(segment, { go = true } = {}) {
  current.chosen = segment?.id ?? null;
  if (segment && go) seek(segment.start);
  tell("selection");
}

/** The next or previous segment after the selected one, else after the current time. */
function stepSegment(step) {
  const at = current.segments.findIndex((segment) => segment.id === current.chosen);
  const time = timeNow();
  let next = at + step;
  if (at < 0 && step > 0) next = current.segments.findIndex((segment) => segment.start > time - 0.001);
  else if (at < 0) next = current.segments.findLastIndex((segment) => segment.start < time - 0.001);
  const segment = current.segments[next];
  if (segment) select(segment);
}

// Corrections of the selected segment -----------------------------------------------------------------

function correct(segment, entry) {
  changeEntry(videos.name[current.video], segment.id, entry);
}

function judge(segment, verdict) {
  if (!segment || segment.verdict === verdict) return;
  if (segment.verdict === "added" || (segment.verdict === "edited" && verdict === "accepted")) {
    if (verdict === "rejected") clearVerdict(segment); // what was never detected just goes
    return;
  }
  correct(segment, { label: classes[segment.c], segment: segment.span, verdict });
}

function clearVerdict(segment) {
  if (segment?.entry) correct(segment, null);
}

/** New limits; a segment back at its first limits is accepted as it was. */
function moveEdges(segment, start, end) {
  [start, end] = [toMillisecond(start), toMillisecond(end)];
  if (!(start >= 0 && start < end) || (clock.length && end > clock.length + 0.001)) {
    say("A segment starts before it ends, and both lie in the video.");
    return;
  }
  const was = segment.entry?.was ?? segment.span;
  const label = classes[segment.c];
  const same = start === was[0] && end === was[1];
  if (segment.verdict === "added") correct(segment, { label, segment: [start, end], verdict: "added" });
  else if (same) correct(segment, { label, segment: was, verdict: "accepted" });
  else correct(segment, { label, segment: [start, end], verdict: "edited", was });
}

const edgeHere = (edge) => {
  const segment = selected();
  const time = timeNow();
  if (!segment) return;
  if (edge === "start" ? time >= segment.end : time <= segment.start) {
    say(edge === "start" ? "The start must come before the end." : "The end must come after the start.");
    return;
  }
  moveEdges(segment, edge === "start" ? time : segment.start, edge === "end" ? time : segment.end);
};

/** A new segment; of the selected segment's class, else the first tag's, else the first row's. */
function addSegment(start, end, c = null) {
  const kind = c ?? selected()?.c ?? videos.tags[current.video]?.[0] ?? current.segments[0]?.c ?? 0;
  if (classes.length === 0) return askClass((label) => addSegment(start, end, classNumber(label)));
  const entry = { label: classes[kind], segment: [toMillisecond(start), toMillisecond(end)], verdict: "added" };
  const key = entryKey(entry);
  shown.hidden.delete(kind);
  current.chosen = key;
  changeEntry(videos.name[current.video], key, entry);
  tell("selection");
}

function addHere() {
  const start = Math.max(0, Math.min(timeNow(), clock.length - 0.1));
  addSegment(start, Math.max(Math.min(start + 2, clock.length), start + 0.1));
}

function askClass(use) {
  const form = byId("new-class-form");
  byId("new-class-name").value = "";
  form.onsubmit = () => {
    const label = byId("new-class-name").value.trim();
    if (label) use(label);
  };
  byId("new-class").showModal();
}

// The bar of the selected segment -----------------------------------------------------------------------

function showEdit() {
  const segment = selected();
  byId("edit-hint").hidden = segment !== null;
  byId("edit-tools").hidden = segment === null;
  if (segment === null) return;
  const added = segment.verdict === "added";
  byId("edit-name").replaceChildren(swatch(segment.c), added ? "" : `${classes[segment.c]} ${scoreText(segment.score)}`);
  byId("edit-class").hidden = !added;
  if (added) {
    const options = classes.map((label, c) => make("option", { value: c, text: label, selected: c === segment.c }));
    byId("edit-class").replaceChildren(...options, make("option", { value: "new", text: "New class…" }));
  }
  for (const edge of ["start", "end"]) {
    const field = byId(`edit-${edge}`);
    if (document.activeElement !== field) field.value = segment[edge].toFixed(2);
  }
  pressed(byId("accept"), ["accepted", "edited"].includes(segment.verdict));
  pressed(byId("reject"), segment.verdict === "rejected");
  byId("accept").hidden = added;
  byId("reject").lastChild.textContent = added ? "Remove" : "Reject";
  byId("clear").disabled = segment.entry === null;
  byId("clear").hidden = added;
}

function changeClass(choice) {
  const segment = selected();
  const use = (label) => correct(segment, { label, segment: [segment.start, segment.end], verdict: "added" });
  if (choice !== "new") use(classes[Number(choice)]);
  else {
    showEdit();
    askClass((label) => (classNumber(label), use(label)));
  }
}

function startEdit() {
  const press = (id, act) => byId(id).addEventListener("click", act);
  press("accept", () => judge(selected(), "accepted"));
  press("reject", () => judge(selected(), "rejected"));
  press("clear", () => clearVerdict(selected()));
  press("add", addHere);
  press("set-start", () => edgeHere("start"));
  press("set-end", () => edgeHere("end"));
  for (const edge of ["start", "end"]) {
    const field = byId(`edit-${edge}`);
    field.addEventListener("change", () => {
      const segment = selected();
      const limits = { start: segment.start, end: segment.end, [edge]: field.valueAsNumber };
      moveEdges(segment, limits.start, limits.end);
    });
    field.addEventListener("blur", () => showEdit());
  }
  byId("edit-class").addEventListener("change", (event) => changeClass(event.target.value));
  byId("complete").addEventListener("change", () => setComplete(byId("complete").checked));
  when("selection", showEdit);
  when("segments", showEdit);
}

function setComplete(complete) {
  const name = videos.name[current.video];
  change([[name, { complete, entries: workOf(name).entries }]]);
}
