// What the report brought: the index at once, the block of a video when it is opened.

function readBlock(id) {
  const element = byId(id);
  return element === null ? null : JSON.parse(element.textContent);
}

const index = readBlock("wtal-index");
const videos = index.videos;
const V = videos.name.length;
const S = videos.skipped.filter(Boolean).length; // listed, but without a place in the results
const C = index.classes.length;
// Corrections may bring classes that the model does not know; they follow after the C known ones.
const classes = [...index.classes];
const classNumbers = new Map(classes.map((label, c) => [label, c]));
const videoNumbers = new Map(videos.name.map((name, v) => [name, v]));

const found = {
  class: Uint32Array.from(index.detections.class),
  start: Float64Array.from(index.detections.start_s),
  end: Float64Array.from(index.detections.end_s),
  score: Float64Array.from(index.detections.score),
};
const N = found.class.length;
index.detections = null;

function classNumber(label) {
  if (!classNumbers.has(label)) {
    classNumbers.set(label, classes.length);
    classes.push(label);
  }
  return classNumbers.get(label);
}

/** Least and greatest score: the ends of the slider. A confidence has 0 and 1. */
const scoreRange = (() => {
  let [low, high] = index.measure === "confidence" ? [0, 1] : [Infinity, -Infinity];
  for (let i = 0; i < N; i++) {
    if (found.score[i] < low) low = found.score[i];
    if (found.score[i] > high) high = found.score[i];
  }
  return low < high ? [low, high] : low === high ? [low - 0.5, high + 0.5] : [0, 1];
})();

/** A score as a part of that range. */
const strength = (score) => (score === null ? 1 : clamp((score - scoreRange[0]) / (scoreRange[1] - scoreRange[0]), 0, 1));

/** Only relative paths play: no scheme, no host, no root. */
function safeMedia(v) {
  const url = videos.media[v];
  const plain = typeof url === "string" && /^[!$%&'()*+,;=@A-Za-z0-9._~/-]+$/.test(url);
  return plain && !url.startsWith("/") ? url : null;
}

/** Truth, curves and class scores of a video; null while the browser still reads the file. */
function detailsOf(v) {
  const block = readBlock(`video-${v}`);
  if (block === null) return null;
  const curves = block.curves;
  return {
    truth: block.truth.map(([c, start, end]) => ({ c, start, end })),
    step: curves?.step_s ?? 0,
    curves: new Map((curves?.classes ?? []).map((c, k) => [c, bytes(curves.cas[k])])),
    attention: curves?.attention ? bytes(curves.attention) : null,
    classScores: new Map(Object.entries(block.class_scores ?? {}).map(([c, p]) => [Number(c), p])),
  };
}

const bytes = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

/** How long a video is: as the report says, else to the end of what is known. */
function lengthOf(v, details) {
  if (videos.duration_s[v] !== null) return videos.duration_s[v];
  let end = details ? details.step * Math.max(0, ...[...details.curves.values()].map((curve) => curve.length)) : 0;
  for (let i = videos.first[v]; i < videos.first[v + 1]; i++) end = Math.max(end, found.end[i]);
  for (const segment of details?.truth ?? []) end = Math.max(end, segment.end);
  return end;
}
