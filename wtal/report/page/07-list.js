// The list of videos: searched, sorted, filtered; only the rows on screen exist.

const find = { text: "", sort: "name", reverse: false, subset: "", disagree: false };
let listed = []; // video numbers, in the order of the list

const lowerNames = videos.name.map((name) => name.toLowerCase());
const byName = (() => {
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  const order = Array.from(videos.name.keys()).sort((a, b) => compare(videos.name[a], videos.name[b]));
  const rank = new Int32Array(V);
  order.forEach((v, r) => (rank[v] = r));
  return rank;
})();

const hasTags = videos.tags.some((tags) => tags !== null);
const ROW = hasTags ? 80 : 62; // pixels; what disagrees with the tags has a line of its own
const SORTS = {
  name: { name: "Name", value: (v) => -byName[v] },
  score: { name: "Best score", value: (v) => counts.best[v] },
  count: { name: "Detections", value: (v) => counts.ofVideo[v] },
  duration: { name: "Duration", value: (v) => videos.duration_s[v] ?? -1 },
  ...(hasTags ? { disagreement: { name: "Disagreement with tags", value: disagreements } } : {}),
};

/** Every word must be in the name or in a label: a tag, or a class that is shown in the video. */
function matches(v, wanted) {
  return wanted.every(({ word, labels }) => {
    if (lowerNames[v].includes(word)) return true;
    if (labels.size === 0) return false;
    if (videos.tags[v]?.some((c) => labels.has(c))) return true;
    for (let i = videos.first[v]; i < videos.first[v + 1]; i++) if (labels.has(found.class[i]) && isShown(i)) return true;
    return false;
  });
}

function wantedWords() {
  const lower = index.classes.map((label) => label.toLowerCase());
  const words = find.text.toLowerCase().split(/\s+/).filter(Boolean);
  return words.map((word) => ({ word, labels: new Set([...lower.keys()].filter((c) => lower[c].includes(word))) }));
}

function relist() {
  const wanted = wantedWords();
  const { value } = SORTS[find.sort];
  const sign = find.reverse ? -1 : 1;
  listed = Array.from(videos.name.keys()).filter(
    (v) => (!find.subset || videos.subset[v] === find.subset) && (!find.disagree || disagreements(v) > 0) && matches(v, wanted),
  );
  const key = Float64Array.from({ length: V }, (_, v) => value(v));
  listed.sort((a, b) => (key[a] === key[b] ? byName[a] - byName[b] : sign * (key[a] > key[b] ? -1 : 1)));
  byId("list").style.height = `${listed.length * ROW}px`;
  byId("listed").textContent = listed.length === V ? plural(V - S, "video") + (S ? `, ${whole(S)} skipped` : "") : `${whole(listed.length)} of ${plural(V, "video")}`;
  byId("none-listed").hidden = listed.length > 0 || V === 0;
  byId("scroller").hidden = listed.length === 0;
  const focused = byId("list").contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  drawn.clear();
  byId("list").replaceChildren();
  showRows();
  if (focused !== null) [...byId("list").querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus({ preventScroll: true });
}

// Rows ----------------------------------------------------------------------------------------------

const drawn = new Map(); // place in the list -> row

const showRows = () => {
  const box = byId("scroller");
  const first = Math.max(0, Math.floor(box.scrollTop / ROW) - 4);
  const last = Math.min(listed.length, Math.ceil((box.scrollTop + box.clientHeight) / ROW) + 4);
  for (const [place, row] of drawn) {
    if ((place < first || place >= last) && !row.contains(document.activeElement)) {
      row.remove();
      drawn.delete(place);
    }
  }
  const added = [];
  for (let place = first; place < last; place++) {
    if (drawn.has(place)) continue;
    const row = listRow(place);
    drawn.set(place, row);
    added.push(row);
  }
  byId("list").append(...added);
  for (const row of added) drawStrip(row.querySelector("canvas"), Number(row.dataset.v));
};

function listRow(place) {
  const v = listed[place];
  const name = videos.name[v];
  const row = make("li", { "data-v": v, "aria-setsize": listed.length, "aria-posinset": place + 1 });
  row.style.top = `${place * ROW}px`;
  row.style.height = `${ROW}px`;
  const link = make(
    "a",
    { href: linkTo(v), title: name, "aria-current": v === current.video ? "true" : null },
    make("span", { class: "title", text: name }),
    make("span", { class: "count" }, document.createTextNode(whole(counts.ofVideo[v])), make("span", { class: "unseen", text: counts.ofVideo[v] === 1 ? " detection" : " detections" })),
    make("canvas", { "aria-hidden": "true" }),
    make("span", { class: "more" }, ...aboutVideo(v)),
    disagreements(v) ? make("span", { class: "more" }, make("span", { class: "off", text: disagreementCount(v) })) : null,
  );
  row.append(link);
  return row;
}

/** Length, best score, and what deserves a look. */
function aboutVideo(v) {
  const state = workOf(videos.name[v]);
  const parts = [
    videos.duration_s[v] === null ? null : ["", clockText(videos.duration_s[v], 0)],
    counts.ofVideo[v] ? ["", `best ${scoreText(counts.best[v])}`] : null,
    state.complete ? ["done", "reviewed"] : state.entries.length ? ["done", plural(state.entries.length, "correction")] : null,
    videos.note[v] ? ["off", "note"] : null,
  ].filter(Boolean);
  return parts.map(([kind, text], i) => make("span", { class: kind, text: (i ? " · " : "") + text }));
}

function disagreementCount(v) {
  const [untagged, missing] = [counts.untagged[v], counts.missing[v]];
  return [untagged ? `${plural(untagged, "class", "classes")} without a tag` : null, missing ? `${plural(missing, "tag")} not found` : null].filter(Boolean).join(", ");
}

/** Where in the video something was found, in little. */
function drawStrip(canvas, v) {
  const { brush, width, height } = canvasOf(canvas);
  const length = lengthOf(v, null) || 1;
  brush.fillStyle = inks.line;
  brush.fillRect(0, height / 2 - 0.5, width, 1);
  for (let i = videos.first[v]; i < videos.first[v + 1]; i++) {
    if (!isShown(i)) continue;
    brush.fillStyle = classInk(found.class[i]);
    brush.fillRect((found.start[i] / length) * width, 0, Math.max(1.5, ((found.end[i] - found.start[i]) / length) * width), height);
  }
}

/** Scroll a video into sight, and mark it. */
function showCurrent() {
  for (const row of drawn.values()) {
    const link = row.firstChild;
    if (Number(row.dataset.v) === current.video) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  const place = listed.indexOf(current.video);
  const box = byId("scroller");
  if (place < 0 || box.clientHeight === 0) return;
  if (place * ROW < box.scrollTop) box.scrollTop = place * ROW;
  else if ((place + 1) * ROW > box.scrollTop + box.clientHeight) box.scrollTop = (place + 1) * ROW - box.clientHeight;
}

const linkTo = (v, time = null) => `#v=${encodeURIComponent(videos.name[v])}${time === null ? "" : `&t=${Number(time.toFixed(2))}`}`;

/** The video `step` places further in the list. */
function stepVideo(step) {
  const place = listed.indexOf(current.video);
  const next = place < 0 ? (step > 0 ? 0 : listed.length - 1) : place + step;
  if (next >= 0 && next < listed.length) location.hash = linkTo(listed[next]);
}

function clearFinder() {
  [find.text, find.subset, find.disagree] = ["", "", false];
  byId("search").value = byId("subset").value = "";
  byId("disagree").checked = false;
  relist();
}

function startList() {
  const score = index.measure === "confidence" ? "Best confidence" : "Best score";
  for (const [key, { name }] of Object.entries(SORTS)) byId("sort").append(make("option", { value: key, text: key === "score" ? score : name }));
  const subsets = [...new Set(videos.subset.filter((subset) => subset !== null))].sort();
  byId("subset").append(make("option", { value: "", text: "All subsets" }), ...subsets.map((subset) => make("option", { value: subset, text: subset })));
  byId("subset").hidden = subsets.length < 2;
  byId("disagree-label").hidden = !hasTags;
  const listen = (id, event, act) => byId(id).addEventListener(event, (e) => (act(e.target), (byId("scroller").scrollTop = 0), relist()));
  listen("search", "input", (field) => (find.text = field.value));
  listen("sort", "change", (field) => (find.sort = field.value));
  listen("subset", "change", (field) => (find.subset = field.value));
  listen("disagree", "change", (field) => (find.disagree = field.checked));
  listen("reverse", "click", () => pressed(byId("reverse"), (find.reverse = !find.reverse)));
  byId("clear-filters").addEventListener("click", clearFinder);
  byId("scroller").addEventListener("scroll", oncePerFrame(showRows), { passive: true });
  new ResizeObserver(oncePerFrame(relist)).observe(byId("scroller"));
  for (const topic of ["filter", "corrections", "theme"]) when(topic, oncePerFrame(relist));
  when("video", showCurrent);
  relist();
}
