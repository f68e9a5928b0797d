// Scenes of carts and poles. A scene has a view, a backdrop, a body that moves, and grips for the hand.
//
// s are the entries of the physics by name, c the constants by name. A grip is a point and what a pull of it by
// (dx, dy) over dt seconds adds to entries of the physics.

/** A pole's tip at an angle from upright. */
function tip([x, y], theta, length) {
  return [x + length * Math.sin(theta), y + length * Math.cos(theta)];
}

/** The grip of a turning tip: a pull across the pole turns it; the gain is negative where the entry's angle grows anticlockwise. */
function swing(at, theta, entry, gain) {
  return { at, pull: (dx, dy, dt) => ({ [entry]: gain * dt * (dx * Math.cos(theta) - dy * Math.sin(theta)) }) };
}

/** A cart with poles [angle from upright, length, entry of the velocity], in a view of the given size. */
function cartScene({ view, track, cart, axle, thickness, poles, gain = 30 }) {
  return {
    view,
    backdrop(pen, c) {
      const half = track(c);
      const y = -cart[1] * 0.62;
      pen.line([-half, y], [half, y], thickness * 0.25, 'faint');
      for (const end of [-half, half]) pen.line([end, y], [end, y + cart[1] * 0.6], thickness * 0.25, 'faint');
    },
    body(pen, s, c) {
      pen.box([s.x, 0], cart, 'body', cart[1] * 0.22);
      for (const [theta, length] of poles(s, c)) {
        pen.line([s.x, axle], tip([s.x, axle], theta, length), thickness, 'link');
      }
      pen.disc([s.x, axle], thickness * 0.55, 'joint');
    },
    grips(s, c) {
      const tips = poles(s, c).map(([theta, length, entry, sign = 1]) =>
        swing(tip([s.x, axle], theta, length), theta, entry, gain * sign),
      );
      return [...tips, { at: [s.x, 0], pull: (dx, dy, dt) => ({ v: gain * dt * dx }) }];
    },
  };
}

const scenes = {};

scenes.CartPole = cartScene({
  view: () => ({ width: 5.6, height: 2.2, centre: [0, 0.62] }),
  track: (c) => c.x_limit,
  cart: [0.56, 0.3],
  axle: 0.06,
  thickness: 0.08,
  poles: (s, c) => [[s.theta, 2 * c.half_length, 'omega']],
});
scenes.SinglePole = scenes.CartPole;
scenes.CartPoleSwingUp = {
  ...scenes.CartPole,
  view: () => ({ width: 5.6, height: 2.8, centre: [0, 0] }),
};

scenes.DoublePole = cartScene({
  view: () => ({ width: 5.6, height: 2.2, centre: [0, 0.62] }),
  track: (c) => c.x_limit,
  cart: [0.56, 0.3],
  axle: 0.06,
  thickness: 0.07,
  // The short pole would hide inside the long one: it is drawn three times as long.
  poles: (s, c) => [
    [s.theta_1, 2 * c.half_length_1, 'omega_1'],
    [s.theta_2, 6 * c.half_length_2, 'omega_2'],
  ],
});
scenes.DoublePoleDamping = scenes.DoublePole;

scenes.MotorCartPole = cartScene({
  view: () => ({ width: 1.1, height: 0.86, centre: [0, 0] }),
  track: (c) => c.rail_length / 2,
  cart: [0.12, 0.06],
  axle: 0,
  thickness: 0.018,
  poles: (s, c) => [[Math.PI - s.theta, 2 * c.half_length, 'omega', -1]],
  gain: 120,
});
scenes.MotorCartPoleBalance = scenes.MotorCartPole;

scenes.OneMassOscillator = {
  view: () => ({ width: 2.9, height: 1.15, centre: [0, 0.05] }),
  backdrop(pen, c) {
    pen.line([-1.35, -0.2], [1.35, -0.2], 0.015, 'faint');
    pen.line([-1.35, -0.2], [-1.35, 0.3], 0.05, 'faint');
    pen.line([c.goal, -0.2], [c.goal, 0.42], 0.02, 'goal');
  },
  body(pen, s) {
    const coils = 14;
    const step = (s.x - 0.15 + 1.35) / coils;
    const points = Array.from({ length: coils + 1 }, (_, i) => [-1.35 + i * step, i % coils ? 0.07 * (-1) ** i : 0]);
    pen.path(points, 'link', 0.018);
    pen.box([s.x, 0], [0.32, 0.38], 'body', 0.05);
  },
  grips: (s) => [{ at: [s.x, 0], pull: (dx, dy, dt) => ({ v: 60 * dt * dx }) }],
};
