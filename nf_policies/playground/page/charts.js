// What happened lately, as lines or as a map, and the potentials now, as bars that can be pushed.

const REMEMBERED = 400; // steps

/** The last steps of one episode after the other. */
class Record {
  constructor() {
    this.rows = [];
  }

  add({ potentials, action }, starts) {
    this.rows.push({ potentials, action, starts });
    if (this.rows.length > REMEMBERED) this.rows.shift();
  }
}

/** The colour of a neuron, as even a step around the colour circle as can be. */
function hue(i, n) {
  return `oklch(0.68 0.13 ${(55 + (i * 360) / Math.max(n, 5)) % 360})`;
}

/** The largest of the numbers in size, at least the given one; not beyond 100, where potentials are cut. */
function reach(rows, least) {
  return Math.min(rows.flat().reduce((most, x) => Math.max(most, Math.abs(x)), least), 100);
}

/** Potentials over time: a line per neuron, or with many neurons a row of colours for each. */
function drawPotentials(canvas, record, colours) {
  const { context, size } = cleared(canvas);
  const rows = record.rows.map(({ potentials }) => potentials);
  const n = rows.length ? rows[0].length : 0;
  const x = (i) => size[0] - ((rows.length - i) * size[0]) / REMEMBERED;
  drawStarts(context, record, x, size, colours);
  const scale = reach(rows, 0.5) * 1.08;
  if (n > 12) {
    for (let i = 0; i < rows.length; i += 1) {
      for (let k = 0; k < n; k += 1) {
        context.fillStyle = shade(rows[i][k] / scale);
        context.fillRect(x(i), (k * size[1]) / n, size[0] / REMEMBERED + 0.6, size[1] / n + 0.6);
      }
    }
    return;
  }
  context.strokeStyle = colours.faint;
  line(context, [[0, size[1] / 2], [size[0], size[1] / 2]], 1);
  for (let k = 0; k < n; k += 1) {
    context.strokeStyle = hue(k, n);
    line(context, rows.map((row, i) => [x(i), (size[1] / 2) * (1 - row[k] / scale)]), 1.6);
  }
}

/** A colour for a number within ±1: blue below, nothing at 0, orange above. */
function shade(share) {
  const strength = Math.min(Math.abs(share), 1);
  return `oklch(0.68 0.14 ${share > 0 ? 50 : 250} / ${strength.toFixed(3)})`;
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
    context.fillStyle = memory.length > 12 ? shade(0.35 + 0.65 * (potential / scale)) : hue(k, memory.length);
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
