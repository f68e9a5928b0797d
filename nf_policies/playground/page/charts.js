// What happened lately, as lines or as a map, and the potentials now, as bars that can be pushed.

const REMEMBERED = 300; // steps

/** The last steps of one episode after the other. */
class Record {
  constructor() {
    this.rows = [];
  }

  add({ potentials, action }, starts) {
    this.rows.push({ potentials, action, starts, most: Math.max(...potentials.map(Math.abs)) });
    if (this.rows.length > REMEMBERED) this.rows.shift();
  }

  /** What a chart of the potentials reaches up to. */
  get scale() {
    return 1.08 * Math.min(Math.max(0.5, ...this.rows.map(({ most }) => most)), 100);
  }
}

/** The colour of a neuron, as even a step around the colour circle as can be. */
function hue(i, n) {
  return `oklch(0.68 0.13 ${(55 + (i * 360) / Math.max(n, 5)) % 360})`;
}

/** Potentials over time: a line per neuron, or with many neurons a row of colours for each. */
function drawPotentials(canvas, record, colours) {
  const { context, size } = cleared(canvas);
  const rows = record.rows.map(({ potentials }) => potentials);
  const n = rows.length ? rows[0].length : 0;
  const x = (i) => size[0] - ((rows.length - i) * size[0]) / REMEMBERED;
  drawStarts(context, record, x, size, colours);
  const { scale } = record;
  if (n > 12) {
    context.imageSmoothingEnabled = false;
    context.drawImage(heat(rows, n, scale), x(0), 0, size[0] - x(0), size[1]);
    return;
  }
  context.strokeStyle = colours.faint;
  line(context, [[0, size[1] / 2], [size[0], size[1] / 2]], 1);
  for (let k = 0; k < n; k += 1) {
    context.strokeStyle = hue(k, n);
    line(context, rows.map((row, i) => [x(i), (size[1] / 2) * (1 - row[k] / scale)]), 1.6);
  }
}

const [BELOW, ABOVE] = [[88, 143, 214], [222, 128, 70]];

/** Numbers within ±1 as a colour: blue below, nothing at 0, orange above. */
function shade(share) {
  return [...(share > 0 ? ABOVE : BELOW), Math.round(255 * Math.min(Math.abs(share), 1))];
}

/** A picture with a pixel for every neuron and step. */
function heat(rows, n, scale) {
  const image = new ImageData(rows.length, n);
  rows.forEach((row, i) => row.forEach((potential, k) => image.data.set(shade(potential / scale), 4 * (k * rows.length + i))));
  const canvas = new OffscreenCanvas(rows.length, n);
  canvas.getContext('2d').putImageData(image, 0, 0);
  return canvas;
}

/** Actions over time, within their bounds. */
function drawActions(canvas, record, colours) {
  const { context, size } = cleared(canvas);
  const { low, high, n } = about.task.action;
  const rows = record.rows.map(({ action }) => action);
  const x = (i) => size[0] - ((rows.length - i) * size[0]) / REMEMBERED;
  drawStarts(context, record, x, size, colours);
  const pad = 4;
  for (let k = 0; k < (rows[0]?.length ?? 0); k += 1) {
    const [least, most] = n ? [about.task.action.start, about.task.action.start + n - 1] : [low[k], high[k]];
    const y = (value) => size[1] - pad - ((value - least) / (most - least || 1)) * (size[1] - 2 * pad);
    context.strokeStyle = k ? colours.body : colours.link;
    const points = rows.flatMap((row, i) => [[x(i), y(row[k])], [x(i + 1), y(row[k])]]);
    line(context, points, 1.4);
  }
}

/** Thin lines where episodes begin. */
function drawStarts(context, record, x, size, colours) {
  context.strokeStyle = colours.faint;
  record.rows.forEach(({ starts }, i) => starts && line(context, [[x(i), 0], [x(i), size[1]]], 1));
}

function line(context, points, width) {
  context.beginPath();
  points.forEach(([x, y], i) => context[i ? 'lineTo' : 'moveTo'](x, y));
  context.lineWidth = width;
  context.lineJoin = 'round';
  context.stroke();
}

/** The potentials now, a bar per neuron. */
function drawNeurons(canvas, memory, scale, colours) {
  const { context, size } = cleared(canvas);
  const width = size[0] / memory.length;
  context.strokeStyle = colours.faint;
  line(context, [[0, size[1] / 2], [size[0], size[1] / 2]], 1);
  memory.forEach((potential, k) => {
    const height = Math.max(-1, Math.min(1, potential / scale)) * (size[1] / 2 - 3);
    const bar = Math.min(width * 0.62, 34);
    context.fillStyle = memory.length > 12 ? `rgb(${(potential > 0 ? ABOVE : BELOW).join(' ')})` : hue(k, memory.length);
    context.beginPath();
    context.roundRect(width * (k + 0.5) - bar / 2, size[1] / 2 - Math.max(height, 0), bar, Math.max(Math.abs(height), 1.5), 2);
    context.fill();
  });
}

/** What each of the hundred has earned, the best first, and the rounds before. */
function drawCrowd(canvas, crowd, colours) {
  const { context, size } = cleared(canvas);
  const scores = crowd.ranked().map((member) => crowd.score(member));
  const rounds = crowd.rounds.slice(-60);
  const all = [...scores, ...rounds.flatMap(({ best, median }) => [best, median])].filter(Number.isFinite);
  const [least, most] = [Math.min(0, ...all), Math.max(0, ...all)];
  const y = (score) => size[1] - 3 - ((score - least) / (most - least || 1)) * (size[1] - 6);
  const half = rounds.length > 1 ? size[0] * 0.58 : size[0];
  const width = half / scores.length;
  scores.forEach((score, i) => {
    context.fillStyle = i ? colours.ghost : colours.accent;
    context.fillRect(i * width, Math.min(y(score), y(0)), Math.max(width - 0.8, 0.6), Math.abs(y(score) - y(0)) + 0.5);
  });
  if (rounds.length < 2) return;
  const x = (i) => half + 14 + (i / (rounds.length - 1)) * (size[0] - half - 16);
  for (const [key, colour] of [['median', 'faded'], ['best', 'accent']]) {
    context.strokeStyle = colours[colour];
    line(context, rounds.map((round, i) => [x(i), y(round[key])]), 1.6);
  }
}
