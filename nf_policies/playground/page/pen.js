// Drawing on a canvas in the units of a task, y upwards.

class Pen {
  /**
   * @param {CanvasRenderingContext2D} context of a canvas whose pixels are CSS pixels
   * @param {{width: number, height: number, centre: number[]}} view what is seen, in the units of the task
   * @param {number[]} size of the canvas in CSS pixels
   * @param {object} colours by name
   */
  constructor(context, view, size, colours) {
    this.context = context;
    this.view = view;
    this.size = size;
    this.colours = colours;
    this.scale = Math.min(size[0] / view.width, size[1] / view.height);
  }

  pixel([x, y]) {
    const [cx, cy] = this.view.centre;
    return [this.size[0] / 2 + (x - cx) * this.scale, this.size[1] / 2 - (y - cy) * this.scale];
  }

  /** The point under a pixel. */
  point([px, py]) {
    const [cx, cy] = this.view.centre;
    return [cx + (px - this.size[0] / 2) / this.scale, cy - (py - this.size[1] / 2) / this.scale];
  }

  path(points, colour, thickness, dash = []) {
    const { context } = this;
    context.beginPath();
    points.forEach((point, i) => context[i ? 'lineTo' : 'moveTo'](...this.pixel(point)));
    context.strokeStyle = this.colours[colour];
    context.lineWidth = Math.max(thickness * this.scale, 1);
    context.lineCap = context.lineJoin = 'round';
    context.setLineDash(dash);
    context.stroke();
    context.setLineDash([]);
  }

  line(start, end, thickness, colour, dash) {
    this.path([start, end], colour, thickness, dash);
  }

  polygon(points, colour) {
    this.context.beginPath();
    points.forEach((point, i) => this.context[i ? 'lineTo' : 'moveTo'](...this.pixel(point)));
    this.context.closePath();
    this.context.fillStyle = this.colours[colour];
    this.context.fill();
  }

  box([x, y], [width, height], colour, radius = 0) {
    const [left, top] = this.pixel([x - width / 2, y + height / 2]);
    this.context.beginPath();
    this.context.roundRect(left, top, width * this.scale, height * this.scale, radius * this.scale);
    this.context.fillStyle = this.colours[colour];
    this.context.fill();
  }

  disc(centre, radius, colour) {
    this.context.beginPath();
    this.context.arc(...this.pixel(centre), Math.max(radius * this.scale, 1), 0, 2 * Math.PI);
    this.context.fillStyle = this.colours[colour];
    this.context.fill();
  }

  arc(centre, radius, start, end, thickness, colour) {
    this.context.beginPath();
    this.context.arc(...this.pixel(centre), radius * this.scale, -start, -end, end > start);
    this.context.strokeStyle = this.colours[colour];
    this.context.lineWidth = Math.max(thickness * this.scale, 1);
    this.context.lineCap = 'round';
    this.context.stroke();
  }

  text(centre, words, height, colour = 'faded') {
    this.context.font = `${Math.max(height * this.scale, 11)}px ${FONT}`;
    this.context.textAlign = 'center';
    this.context.textBaseline = 'middle';
    this.context.fillStyle = this.colours[colour];
    this.context.fillText(words, ...this.pixel(centre));
  }
}

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

/** A canvas of as many pixels as the screen has, cleared; its context is in CSS pixels. */
function cleared(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, size: [width, height] };
}

/** The colours of the page, which follow its theme. */
function palette() {
  const style = getComputedStyle(document.documentElement);
  const names = 'hill paper panel ink faded faint body link joint ball goal ghost accent'.split(' ');
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}
