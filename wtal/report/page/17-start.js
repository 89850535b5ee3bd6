// The address says what is open (#v=NAME&t=SECONDS, #videos, #overview); then everything starts.

function route() {
  const hash = location.hash.slice(1);
  const wanted = new URLSearchParams(hash);
  const name = wanted.get("v");
  if (hash === "overview" && index.overview) return show("overview");
  if (name !== null && videoNumbers.has(name)) {
    const seconds = wanted.has("t") ? Number(wanted.get("t")) : NaN;
    show("video");
    return openVideo(videoNumbers.get(name), Number.isFinite(seconds) ? seconds : null);
  }
  if (name !== null) say(`There is no video “${name}” in this report.`);
  show("videos");
  if (current.video < 0 && listed.length && innerWidth > 760) openVideo(firstWorthALook(), null);
}

/** With a segment to look at; else a video that could be read at all. */
function firstWorthALook() {
  return listed.find((v) => counts.ofVideo[v] > 0) ?? listed.find((v) => !videos.skipped[v]) ?? listed[0];
}

/** On a wide screen list and video are side by side; a phone shows one of the three. */
function show(view) {
  const before = document.body.dataset.view;
  document.body.dataset.view = view;
  const overview = view === "overview";
  if (overview && clock.playing) setPlaying(false);
  byId("overview").hidden = !overview;
  byId("video").hidden = overview || V === 0;
  byId("empty").hidden = overview || V > 0;
  for (const [id, on] of [["tab-overview", overview], ["tab-videos", !overview]]) {
    if (on) byId(id).setAttribute("aria-current", "page");
    else byId(id).removeAttribute("aria-current");
  }
  if (overview) showOverview();
  else redraw();
  if (before === view || document.readyState === "loading") return;
  if (overview || innerWidth <= 760) byId("main").scrollTop = 0;
  if (overview) byId("overview-title").focus();
  else if (view === "video" && innerWidth <= 760) byId("video-name").focus({ preventScroll: true });
}

function showAbout() {
  byId("title").textContent = byId("title").title = document.title = index.title;
  const lines = [["Source", index.source], ...index.about];
  byId("about-list").append(...lines.flatMap(([name, value]) => [make("dt", { text: name }), make("dd", { text: value })]));
  byId("tab-overview").hidden = !index.overview;
  byId("empty-text").textContent = "This report has no videos yet. Once something was localized, make it again: its videos will be listed at the left, with a player and their timelines here.";
}

function start() {
  showAbout();
  startTheme();
  startCorrections();
  startFilters();
  startList();
  startPlayer();
  startEdit();
  startTable();
  startTimeline();
  startVideo();
  startKeys();
  addEventListener("hashchange", route);
  when("filter", () => byId("overview").hidden || showOverview());
  showCounts();
  showSure();
  drawHistogram();
  route();
}

start();
