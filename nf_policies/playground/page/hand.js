// The hand: a pointer that takes hold of what is nearest and pulls, and one that pushes neurons.

const NEAR = 90; // pixels

class Hand {
  /**
   * @param {HTMLCanvasElement} canvas of the scene
   * @param {() => {pen: Pen, grips: object[]}} look at the scene as it is now
   */
  constructor(canvas, look) {
    this.look = look;
    this.held = null; // the number of the grip
    this.at = null; // the pointer, in pixels of the canvas
    canvas.addEventListener('pointerdown', (event) => {
      this.at = place(event);
      this.held = this.nearest();
      if (this.held === null) return;
      canvas.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    canvas.addEventListener('pointermove', (event) => {
      this.at = place(event);
      canvas.style.cursor = this.held !== null ? 'grabbing' : this.nearest() === null ? 'default' : 'grab';
    });
    for (const end of ['pointerup', 'pointercancel', 'lostpointercapture']) {
      canvas.addEventListener(end, () => {
        this.held = null;
      });
    }
  }

  nearest() {
    const { pen, grips } = this.look();
    const far = grips.map(({ at }) => Math.hypot(...pen.pixel(at).map((x, i) => x - this.at[i])));
    const least = Math.min(NEAR, ...far);
    return far.includes(least) ? far.indexOf(least) : null;
  }

  /** What the hand adds to entries of the physics in a step of dt seconds; null where it holds nothing. */
  pull(dt) {
    if (this.held === null) return null;
    const { pen, grips } = this.look();
    if (!grips[this.held]) return null;
    const { at, pull } = grips[this.held];
    const [x, y] = pen.point(this.at);
    return pull(x - at[0], y - at[1], dt);
  }

  /** A dotted line from the grip to the pointer. */
  draw(pen, grips) {
    if (this.held === null || !grips[this.held]) return;
    const { at } = grips[this.held];
    pen.line(at, pen.point(this.at), 0.001, 'accent', [3, 4]);
    pen.disc(pen.point(this.at), 5 / pen.scale, 'accent');
  }
}

/** The pointer in pixels of its element. */
function place(event) {
  const { left, top } = event.currentTarget.getBoundingClientRect();
  return [event.clientX - left, event.clientY - top];
}

/** Lets a pointer on the bars hold the potential of a neuron; `held` is [neuron, share of the scale] or null. */
function neuronHand(canvas, count) {
  const hand = { held: null };
  const hold = (event) => {
    const [x, y] = place(event);
    const neuron = Math.max(0, Math.min(count - 1, Math.floor((x / canvas.clientWidth) * count)));
    hand.held = [neuron, Math.max(-1, Math.min(1, 1 - (2 * y) / canvas.clientHeight))];
  };
  canvas.addEventListener('pointerdown', (event) => {
    canvas.setPointerCapture(event.pointerId);
    hold(event);
    event.preventDefault();
  });
  canvas.addEventListener('pointermove', (event) => hand.held && hold(event));
  for (const end of ['pointerup', 'pointercancel']) {
    canvas.addEventListener(end, () => {
      hand.held = null;
    });
  }
  return hand;
}
