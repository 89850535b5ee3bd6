// The open video: its heading, its parts, and the time that all of them show.

function openVideo(v, time) {
  const same = current.video === v;
  if (!same) {
    current.video = v;
    current.chosen = null;
    everyClass = false;
    rowsWanted = PAGE;
    current.details = detailsOf(v);
    document.title = `${videos.name[v]} – ${index.title}`;
    byId("rows").scrollTop = 0;
    openMedia(v);
    setLength(lengthOf(v, current.details));
    tell("video");
    refreshVideo();
  }
  if (time !== null) seek(time);
  else if (!same) showTime();
}

function setLength(seconds) {
  clock.length = seconds;
  byId("length").textContent = clockText(seconds);
  byId("ruler").setAttribute("aria-valuemin", "0");
  byId("ruler").setAttribute("aria-valuemax", String(seconds));
  showSpan(0, seconds);
}

/** After a change of threshold, classes or corrections. */
function refreshVideo() {
  if (current.video < 0) return;
  current.segments = allSegments(current.video).filter((segment) => segment.visible);
  if (!selected()) current.chosen = null;
  showHeading();
  showTruth();
  tell("segments");
}

function showHeading() {
  const v = current.video;
  byId("video-name").textContent = videos.name[v];
  byId("complete").checked = workOf(videos.name[v]).complete;
  byId("note").hidden = !videos.note[v];
  byId("note").replaceChildren(icon("note"), make("span", { text: videos.note[v] ?? "" }));
  const tags = tagsOf(v);
  const parts = [videos.subset[v], tags === null ? null : tags.length ? `Tags: ${tags.map((c) => classes[c]).join(", ")}` : "Tags: none"];
  const facts = parts.filter(Boolean).map((text) => make("span", { text }));
  if (disagreements(v)) facts.push(make("span", { class: "off", text: disagreementText(v) }));
  byId("facts").replaceChildren(...facts);
}

/** In words what the number in the list counts. */
function disagreementText(v) {
  const seen = new Set();
  for (let i = videos.first[v]; i < videos.first[v + 1]; i++) if (found.score[i] >= shown.threshold) seen.add(found.class[i]);
  const { untagged, missing } = disagreement(v, [...seen]);
  const names = (list) => list.slice(0, 3).map((c) => classes[c]).join(", ") + (list.length > 3 ? ` and ${list.length - 3} more` : "");
  return [missing.length ? `Not found: ${names(missing)}` : null, untagged.length ? `No tag: ${names(untagged)}` : null].filter(Boolean).join(". ");
}

function showTruth() {
  const truth = current.details?.truth ?? [];
  byId("truth-box").hidden = truth.length === 0;
  byId("truth-count").textContent = `(${whole(truth.length)})`;
  const go = (segment) => () => seek(segment.start);
  byId("truth").replaceChildren(
    ...truth.slice(0, 1000).map((segment) => make("li", {}, make("button", { type: "button", click: go(segment) }, swatch(segment.c), `${classes[segment.c]} ${clockText(segment.start)} – ${clockText(segment.end)}`))),
  );
}

/** Everything that follows playback. */
function showTime() {
  if (current.video < 0) return;
  const time = timeNow();
  follow(time);
  const text = clockText(time);
  if (byId("now").textContent !== text) {
    byId("now").textContent = text;
    byId("ruler").setAttribute("aria-valuenow", time.toFixed(1));
    byId("ruler").setAttribute("aria-valuetext", `${text} of ${clockText(clock.length)}`);
    markNow(time);
  }
  const x = toX(time);
  byId("playhead").hidden = x < -1 || x > scale.width + 1;
  byId("playhead").style.transform = `translateX(${scale.left + x}px)`;
  if (!clock.playing) showMoment();
}

/** The link to this moment, for other people and for later. */
function showMoment() {
  if (current.video >= 0) byId("moment").setAttribute("href", linkTo(current.video, timeNow()));
}

function startVideo() {
  when("filter", refreshVideo);
  when("corrections", refreshVideo);
  // The list is there before the browser has read the blocks of all videos.
  document.addEventListener("DOMContentLoaded", () => {
    if (current.video < 0 || current.details !== null) return;
    current.details = detailsOf(current.video);
    if (videos.duration_s[current.video] === null && !clock.plays) setLength(lengthOf(current.video, current.details));
    refreshVideo();
  });
}
