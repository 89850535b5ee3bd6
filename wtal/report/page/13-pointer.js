// Mouse, touch and wheel on the timeline: go there, select, drag an edge, draw, zoom, move along.

const EDGE = 7; // pixels around an edge that take it; a finger gets twice as much
let drawing = false; // the Draw button is pressed
const pointers = new Map(); // touches: id -> x
let pinch = null;

/** What lies under the pointer in a row of a class. */
function hit(event) {
  const box = event.target.closest(".row.class");
  const x = xOf(event);
  if (!box) return { c: null, x, segment: null, part: null };
  const c = Number(box.dataset.c);
  const reach = event.pointerType === "touch" ? 2 * EDGE : EDGE;
  const mine = current.segments.filter((segment) => segment.c === c);
  const chosen = mine.find((segment) => segment.id === current.chosen);
  const chosenPart = chosen ? partOf(chosen, x, reach, reach) : null;
  if (chosenPart) return { c, x, segment: chosen, part: chosenPart };
  for (const segment of mine.toReversed()) {
    const roomy = toX(segment.end) - toX(segment.start) > 4 * EDGE && event.pointerType !== "touch";
    const part = partOf(segment, x, roomy ? EDGE : 0, 2);
    if (part) return { c, x, segment, part };
  }
  return { c, x, segment: null, part: null };
}

function partOf(segment, x, inside, outside) {
  const [start, end] = [toX(segment.start), toX(segment.end)];
  if (x < start - outside || x > end + outside) return null;
  const half = Math.min(inside, (end - start) / 3);
  if (x < start + half) return "start";
  return x > end - half ? "end" : "body";
}

const xOf = (event) => event.clientX - byId("ruler").getBoundingClientRect().left;

let gesture = null; // what the pressed pointer does: {kind, x, ...}

function pointerDown(event) {
  if (event.button !== 0 || event.target.closest(".name")) return;
  byId("tracks").setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, xOf(event));
  if (pointers.size === 2) return startPinch();
  const at = hit(event);
  byId("tip").hidden = true;
  if (event.target.id === "mini") gesture = { kind: "mini", x: at.x };
  else if ((drawing || event.shiftKey) && at.c !== null) gesture = { kind: "draw", x: at.x, c: at.c };
  else if (at.part === "start" || at.part === "end") gesture = { kind: "edge", x: at.x, ...at, moved: false };
  else gesture = { kind: event.pointerType === "touch" && isZoomed() && event.target.id !== "ruler" ? "pan" : "seek", x: at.x, segment: at.segment, moved: false, from: scale.from };
  if (gesture.kind === "mini") moveMini(event);
  else if (gesture.kind === "seek" && !gesture.segment) seek(toTime(at.x));
}

function pointerMove(event) {
  if (pointers.has(event.pointerId)) pointers.set(event.pointerId, xOf(event));
  if (pinch) return movePinch();
  if (!gesture) return hover(event);
  const x = xOf(event);
  gesture.moved ||= Math.abs(x - gesture.x) > 3;
  if (!gesture.moved && gesture.kind !== "mini") return;
  const moves = { seek: () => seek(toTime(x)), pan: () => showSpan(gesture.from - toTime(x) + toTime(gesture.x), scale.to - scale.from), mini: () => moveMini(event), edge: () => moveEdge(x), draw: () => moveDraw(x) };
  moves[gesture.kind]();
}

function pointerUp(event) {
  pointers.delete(event.pointerId);
  if (pinch) {
    if (pointers.size === 0) pinch = gesture = null;
    return;
  }
  const [ended, dragged] = [gesture, drag];
  gesture = drag = null;
  if (!ended || event.type === "pointercancel") return redraw();
  if (ended.kind === "edge" && dragged) {
    current.chosen = ended.segment.id;
    moveEdges(ended.segment, dragged.start, dragged.end);
    tell("selection");
  } else if (ended.kind === "draw" && dragged) addSegment(dragged.start, dragged.end, ended.c);
  else if (!ended.moved && ended.segment) select(ended.segment);
  else if (!ended.moved && (ended.kind === "seek" || ended.kind === "pan")) {
    select(null);
    seek(toTime(ended.x));
  }
  redraw();
}

/** Drag an edge: the player shows the frame there. */
function moveEdge(x) {
  const { segment, part } = gesture;
  const time = clamp(toTime(x), 0, clock.length);
  drag = { segment, start: segment.start, end: segment.end };
  if (part === "start") drag.start = Math.min(time, segment.end - 0.04);
  else drag.end = Math.max(time, segment.start + 0.04);
  seek(part === "start" ? drag.start : drag.end);
  showTip(x, `${clockText(drag.start, 2)} – ${clockText(drag.end, 2)}`);
  redraw();
}

function moveDraw(x) {
  const times = [toTime(gesture.x), toTime(x)].map((time) => clamp(time, 0, clock.length));
  const [start, end] = [Math.min(...times), Math.max(...times)];
  drag = end - start >= 0.04 ? { draws: gesture.c, start, end } : null;
  showTip(x, `${clockText(start, 2)} – ${clockText(end, 2)}`);
  redraw();
}

function moveMini(event) {
  const middle = (xOf(event) / scale.width) * clock.length;
  if (isZoomed()) showSpan(middle - (scale.to - scale.from) / 2, scale.to - scale.from);
  else seek(middle);
}

function startPinch() {
  const [a, b] = [...pointers.values()];
  gesture = drag = null;
  pinch = { distance: Math.max(Math.abs(a - b), 10), time: toTime((a + b) / 2), span: scale.to - scale.from };
}

function movePinch() {
  if (pointers.size < 2) return;
  const [a, b] = [...pointers.values()];
  const span = clamp((pinch.span * pinch.distance) / Math.max(Math.abs(a - b), 10), 0.5, clock.length);
  showSpan(pinch.time - ((a + b) / 2 / scale.width) * span, span);
}

function wheel(event) {
  const sideways = event.shiftKey && !event.deltaX ? event.deltaY : event.deltaX;
  if (event.ctrlKey || event.metaKey) zoomAt(toTime(xOf(event)), Math.exp(event.deltaY * 0.004));
  else if (sideways && isZoomed()) pan((sideways / scale.width) * (scale.to - scale.from));
  else return;
  event.preventDefault();
}

// Hovering ------------------------------------------------------------------------------------------

function hover(event) {
  if (event.pointerType === "touch" || event.target.closest(".name")) return;
  const at = hit(event);
  const edge = at.part === "start" || at.part === "end";
  byId("tracks").style.cursor = edge && !drawing ? "ew-resize" : at.segment && !drawing ? "pointer" : "";
  showTip(at.x, at.segment ? segmentText(at.segment) : clockText(clamp(toTime(at.x), 0, clock.length)));
}

const segmentText = ({ c, start, end, score, verdict }) => [classes[c], `${clockText(start)} – ${clockText(end)}`, score === null ? null : scoreText(score), verdict].filter(Boolean).join("  ");

function showTip(x, text) {
  const tip = byId("tip");
  tip.hidden = false;
  tip.textContent = text;
  tip.style.transform = `translate(${scale.left + clamp(x - tip.offsetWidth / 2, 0, Math.max(scale.width - tip.offsetWidth, 0))}px, 3px)`;
}

function setDrawing(yes) {
  drawing = yes;
  pressed(byId("draw"), yes);
  byId("tracks").classList.toggle("drawing", yes);
}

function startTimeline() {
  const tracks = byId("tracks");
  tracks.addEventListener("pointerdown", pointerDown);
  tracks.addEventListener("pointermove", pointerMove);
  tracks.addEventListener("pointerup", (event) => (pointerUp(event), (byId("tip").hidden = true)));
  tracks.addEventListener("pointercancel", pointerUp);
  tracks.addEventListener("pointerleave", () => (byId("tip").hidden = true));
  tracks.addEventListener("wheel", wheel, { passive: false });
  byId("draw").addEventListener("click", () => setDrawing(!drawing));
  byId("zoom-in").addEventListener("click", () => zoomKey(1 / 2));
  byId("zoom-out").addEventListener("click", () => zoomKey(2));
  byId("zoom-all").addEventListener("click", () => showSpan(0, clock.length));
  byId("more-classes").addEventListener("click", () => ((everyClass = !everyClass), buildRows(), redraw()));
  new ResizeObserver(redraw).observe(tracks);
  when("segments", () => (buildRows(), redraw()));
  when("selection", redraw);
  when("theme", redraw);
}
