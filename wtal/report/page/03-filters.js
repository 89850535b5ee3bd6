// What is shown of the detections: the threshold and the classes, and what that counts.

const shown = { threshold: index.threshold, hidden: new Set() };
const counts = {
  ofVideo: new Int32Array(V), // detections shown
  best: new Float64Array(V), // the highest score of those
  untagged: new Int32Array(V), // classes found that are no tag
  missing: new Int32Array(V), // tags not found
  ofClass: [], // at the threshold, hidden classes too
  total: 0,
};

const isShown = (i) => found.score[i] >= shown.threshold && !shown.hidden.has(found.class[i]);

/** Count anew: one pass over all detections. Hidden classes still agree or disagree with tags. */
function recount() {
  const visible = Uint8Array.from({ length: C }, (_, c) => (shown.hidden.has(c) ? 0 : 1));
  const seen = new Int32Array(C).fill(-1); // the last video that a class was found in
  counts.ofClass = new Int32Array(C);
  counts.total = 0;
  for (let v = 0; v < V; v++) {
    let [count, best] = [0, -Infinity];
    const kinds = [];
    for (let i = videos.first[v]; i < videos.first[v + 1]; i++) {
      if (found.score[i] < shown.threshold) continue;
      const c = found.class[i];
      counts.ofClass[c]++;
      if (seen[c] !== v) kinds.push(c);
      seen[c] = v;
      if (!visible[c]) continue;
      count++;
      if (found.score[i] > best) best = found.score[i];
    }
    counts.ofVideo[v] = count;
    counts.best[v] = best;
    const { untagged, missing } = disagreement(v, kinds);
    counts.untagged[v] = untagged.length;
    counts.missing[v] = missing.length;
    counts.total += count;
  }
}

const disagreements = (v) => counts.untagged[v] + counts.missing[v];

/** Classes found in a video that are no tag, and tags not found; what a person said is settled. */
function disagreement(v, kinds) {
  const tags = tagsOf(v);
  if (tags === null || workOf(videos.name[v]).complete) return { untagged: [], missing: [] };
  const given = givenTo(v);
  return {
    untagged: kinds.filter((c) => !tags.includes(c)),
    missing: tags.filter((c) => !kinds.includes(c) && !given.includes(c)),
  };
}

// Controls --------------------------------------------------------------------------------------

const slider = byId("threshold");
const sliderNumber = byId("threshold-number");

function setThreshold(value) {
  if (!Number.isFinite(value)) return;
  shown.threshold = value;
  showThreshold();
  refilter();
}

function showThreshold() {
  slider.value = shown.threshold;
  if (document.activeElement !== sliderNumber) sliderNumber.value = Number(shown.threshold.toFixed(4));
  slider.setAttribute("aria-valuetext", scoreText(shown.threshold));
}

const refilter = oncePerFrame(() => {
  recount();
  tell("filter");
});

function showCounts() {
  const box = byId("shown");
  const of = counts.total === N ? "" : ` of ${whole(N)}`;
  box.replaceChildren(make("b", { text: whole(counts.total) }), `${of} ${N === 1 ? "detection" : "detections"} in ${plural(V - S, "video")}`);
  byId("classes-on").textContent = shown.hidden.size ? `${C - shown.hidden.size} of ${C}` : C > 1 ? `all ${C}` : `${C}`;
  for (const chip of byId("chips").children) {
    const c = Number(chip.dataset.c);
    pressed(chip, !shown.hidden.has(c));
    chip.lastChild.textContent = whole(counts.ofClass[c]);
  }
}

/** How many are sure, where not all are: an almost empty list must not look like a failure. */
function showSure() {
  const sure = index.sure === null ? 0 : found.score.filter((score) => score >= index.sure).length;
  const box = byId("sure");
  box.hidden = index.measure !== "confidence" || sure === N;
  if (box.hidden) return;
  const what = `${sure ? whole(sure) : "None"} of ${plural(N, "detection")} ${sure > 1 ? "are" : "is"} sure`;
  const from = sure ? ` (confidence at least ${scoreText(index.sure)})` : "";
  const hint = found.score.some((score) => score < shown.threshold) ? " Lower the threshold to see more." : "";
  box.textContent = `${what}${from}.${hint}`;
}

function toggleClass(c) {
  if (!shown.hidden.delete(c)) shown.hidden.add(c);
  refilter();
}

function openClasses(yes) {
  byId("classes-box").hidden = !yes;
  byId("classes-open").setAttribute("aria-expanded", String(yes));
}

const bins = (() => {
  const numbers = new Float64Array(48);
  for (let i = 0; i < N; i++) numbers[Math.min(Math.floor(strength(found.score[i]) * 48), 47)]++;
  return numbers;
})();

/** How many detections have which score, in roots, which keep the few visible; the shown ones dark. */
function drawHistogram() {
  const highest = Math.sqrt(Math.max(1, ...bins));
  const { brush, width, height } = canvasOf(byId("histogram"));
  for (let b = 0; b < 48; b++) {
    const tall = (Math.sqrt(bins[b]) / highest) * height;
    brush.fillStyle = (b + 0.5) / 48 >= strength(shown.threshold) ? inks.accent : inks.line;
    brush.fillRect((b * width) / 48, height - tall, width / 48 - 1, tall);
  }
}

function startFilters() {
  const name = index.measure === "confidence" ? "Confidence" : "Score";
  byId("threshold-name").textContent = `${name} at least`;
  byId("measure-head").textContent = name;
  [slider.min, slider.max] = scoreRange;
  slider.addEventListener("input", () => setThreshold(Math.round(Number(slider.value) * 1000) / 1000));
  sliderNumber.addEventListener("input", () => setThreshold(sliderNumber.valueAsNumber));
  sliderNumber.addEventListener("blur", showThreshold);
  for (let c = 0; c < C; c++) {
    const press = () => toggleClass(c);
    byId("chips").append(make("button", { type: "button", class: "chip", "data-c": c, click: press }, swatch(c), make("span", { text: classes[c] }), make("b")));
  }
  byId("classes-all").addEventListener("click", () => (shown.hidden.clear(), refilter()));
  byId("classes-none").addEventListener("click", () => ((shown.hidden = new Set(classes.keys())), refilter()));
  byId("classes-open").hidden = C === 0;
  byId("classes-open").addEventListener("click", () => openClasses(byId("classes-box").hidden));
  openClasses(C > 0 && C <= (innerHeight < 900 ? 7 : 14) && innerWidth > 760);
  showThreshold();
  recount();
  when("corrections", recount);
  when("filter", showCounts);
  when("filter", showSure);
  when("filter", drawHistogram);
  when("theme", drawHistogram);
}
