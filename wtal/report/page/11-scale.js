// The part of the video that the timeline shows, and the conversion of seconds to pixels.

const scale = { from: 0, to: 1, left: 0, width: 1 };

const toX = (time) => ((time - scale.from) / (scale.to - scale.from)) * scale.width;
const toTime = (x) => scale.from + (x / scale.width) * (scale.to - scale.from);
const isZoomed = () => scale.to - scale.from < clock.length - 1e-6;

/** Where the tracks begin and how wide they are, in pixels. */
function measureTracks() {
  const ruler = byId("ruler");
  scale.left = ruler.offsetLeft;
  scale.width = Math.max(ruler.clientWidth, 1);
}

function showSpan(from, span) {
  const length = clock.length || 1;
  const size = clamp(span, Math.min(0.5, length), length);
  scale.from = clamp(from, 0, length - size);
  scale.to = scale.from + size;
  redraw();
}

/** Zoom so that the time under the pointer stays where it is. */
function zoomAt(time, factor) {
  const span = scale.to - scale.from;
  showSpan(time - ((time - scale.from) / span) * (span * factor), span * factor);
}

const pan = (seconds) => showSpan(scale.from + seconds, scale.to - scale.from);
const zoomKey = (factor) => zoomAt(clamp(timeNow(), scale.from, scale.to), factor);

/** Turn the page when playback leaves it, or when a jump does. */
function follow(time) {
  if (!isZoomed() || (time >= scale.from && time <= scale.to)) return;
  const span = scale.to - scale.from;
  showSpan(time - span * 0.1, span);
}

/** A distance of ticks that leaves room for their labels. */
function tickStep() {
  const room = ((scale.to - scale.from) / scale.width) * 76;
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 18000, 36000];
  return steps.find((step) => step >= room) ?? 86400;
}

function drawRuler() {
  const { brush, width, height } = canvasOf(byId("ruler"));
  const step = tickStep();
  brush.font = "11px system-ui, sans-serif";
  brush.textBaseline = "middle";
  brush.fillStyle = inks.soft;
  const digits = step < 1 ? 1 : 0;
  for (let n = Math.ceil(scale.from / step - 1e-9); n * step <= scale.to + 1e-9; n++) {
    const x = Math.round(toX(n * step));
    brush.fillRect(x, height - 6, 1, 6);
    const text = clockText(n * step, digits);
    if (x + 6 + brush.measureText(text).width < width) brush.fillText(text, x + 4, height / 2 - 1);
  }
}

/** The whole video in little, with a frame around the part that is shown. */
function drawMini() {
  const { brush, width, height } = canvasOf(byId("mini"));
  const length = clock.length || 1;
  const lane = (height - 8) / 2;
  for (const { start, end, c, verdict } of current.segments) {
    brush.globalAlpha = verdict === "rejected" ? 0.25 : 0.85;
    brush.fillStyle = classInk(c);
    brush.fillRect((start / length) * width, 4, Math.max(((end - start) / length) * width, 1), lane);
  }
  brush.globalAlpha = 1;
  brush.fillStyle = inks.edge;
  for (const { start, end } of current.details?.truth ?? []) {
    brush.fillRect((start / length) * width, 5 + lane, Math.max(((end - start) / length) * width, 1), lane - 1);
  }
  if (!isZoomed()) return;
  brush.strokeStyle = inks.accent;
  brush.lineWidth = 2;
  brush.strokeRect((scale.from / length) * width + 1, 1, Math.max(((scale.to - scale.from) / length) * width - 2, 3), height - 2);
}
